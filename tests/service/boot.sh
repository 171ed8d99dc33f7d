# Boots the systemd of this machine with one unit: in namespaces of its own, on a copy of the file system that is thrown away.
# Arguments: FOLDER UNIT. FOLDER/over is laid over the copy, FOLDER/engine is seen as /opt/engine, and FOLDER/out as /out.
set -eu
folder=$1 unit=$2
if [ "${3-}" != inside ]; then
    # A cgroup of its own, so that this systemd sees no other processes.
    groups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    # What an earlier run left: a cgroup with processes in it cannot be removed.
    find "$groups"/websocket-service-* -depth -type d -exec rmdir {} + 2> /dev/null || true
    group=$groups/websocket-service-$$
    mkdir "$group"
    echo $$ > "$group/cgroup.procs"
    exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child sh "$0" "$folder" "$unit" inside
fi
# This /proc is still that of the host, whose number of this process `nsenter` needs.
read -r pid _ < /proc/self/stat
echo "$pid" > "$folder/out/pid"
mount --make-rprivate /
work=$folder/work
mkdir -p "$work"
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/scratch" "$work/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/scratch" "$work/root"
cd "$work/root"
mount -t proc proc proc
# Read-only, as in any container: then systemd changes no settings of the kernel.
mount -o bind,ro proc/sys proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for place in dev run tmp; do mount -t tmpfs tmpfs $place; done
for device in null zero full random urandom tty; do
    : > dev/$device
    mount --bind /dev/$device dev/$device
done
ln -s /proc/self/fd dev/fd
mkdir -p dev/shm opt/engine out
mount -t tmpfs tmpfs dev/shm
mount --rbind "$folder/engine" opt/engine
mount --bind "$folder/out" out
# Nothing but the unit starts.
rm -rf etc/systemd/system usr/lib/systemd/system/*.wants
cp -R "$folder/over/." .
mkdir old
pivot_root . old
umount -l old
# As a booting systemd finds it: credentials are mounted in one namespace and used in another.
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /usr/lib/systemd/systemd --unit="$unit" --log-target=console
