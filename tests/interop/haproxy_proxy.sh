# Runs HAProxy with the configuration that the case has written, until the case says that it is over.
set -eu
for argument in "$@"; do
    case $argument in scratch=*) scratch=${argument#scratch=} ;; esac
done
while ! [ -e "$scratch/ready" ]; do sleep 0.1; done
"$HAPROXY" -db -f "$scratch/haproxy.cfg" &
haproxy=$!
while ! [ -e "$scratch/over" ]; do
    kill -0 "$haproxy" || exit 1
    sleep 0.1
done
kill "$haproxy"
wait "$haproxy" || true
echo CASE OK
