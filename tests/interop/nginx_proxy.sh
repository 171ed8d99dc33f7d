# Runs nginx with the configuration that the case has written, until the case says that it is over.
set -eu
for argument in "$@"; do
    case $argument in scratch=*) scratch=${argument#scratch=} ;; esac
done
while ! [ -e "$scratch/ready" ]; do sleep 0.1; done
"$NGINX" -p "$scratch" -e stderr -c "$scratch/nginx.conf" &
nginx=$!
while ! [ -e "$scratch/over" ]; do
    kill -0 "$nginx" || exit 1
    sleep 0.1
done
kill "$nginx"
wait "$nginx" || true
echo CASE OK
