# Runs a program for Windows: wine.sh SYSTEM SOURCES TARGET PROGRAM ARGUMENTS...
# SYSTEM is a folder with a Debian that has Wine. SOURCES and TARGET, the working copy and what cargo builds, have the same paths in it. The mounts
# end with the program.
set -eu
folder=$PWD
exec unshare --mount sh -eu -c '
    folder=$1
    system=$2
    sources=$3
    target=$4
    shift 4
    for shared in "$sources" "$target"; do
        mkdir -p "$system$shared"
        mount --bind "$shared" "$system$shared"
    done
    mount -t proc proc "$system/proc"
    mount --rbind /dev "$system/dev"
    # Wine itself needs zlib1.dll, which Debian keeps elsewhere.
    exec chroot "$system" env HOME=/root WINEDEBUG=-all "WINEPATH=Z:\\usr\\x86_64-w64-mingw32\\lib" PATH=/usr/bin:/bin:/usr/lib/wine \
        sh -c "cd \"\$1\" && shift && exec wine64 \"\$@\"" sh "$folder" "$@"
' sh "$folder" "$@"
