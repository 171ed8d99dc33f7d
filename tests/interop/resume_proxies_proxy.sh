# Runs nginx or HAProxy with the configuration that the case has written, and carries out its orders until it says that it is over. An order
# is carried out when its file is gone.
set -eu
for argument in "$@"; do
    case $argument in scratch=*) scratch=${argument#scratch=} ;; esac
done

# nginx reads sockets in a variable of this name.
nginx=${NGINX:-}
unset NGINX

start() {
    if [ -n "$nginx" ]; then
        "$nginx" -p "$scratch" -e stderr -c "$scratch/nginx.conf" &
    else
        "$HAPROXY" -db -f "$scratch/haproxy.cfg" "$@" &
    fi
    proxy=$!
}

stop() {
    kill "$proxy"
    wait "$proxy" || true
}

# What the two sides have sent since it hangs is lost with it.
crash() {
    all="$proxy $(cat "/proc/$proxy/task/$proxy/children")"
    kill -STOP $all
    sleep 0.5
    kill -KILL $all
    wait "$proxy" || true
}

# The new process takes the new connections, and the old one ends with its last connection or after the time in the configuration.
reload() {
    if [ -n "$nginx" ]; then kill -HUP "$proxy"; else start -sf "$proxy"; fi
}

while ! [ -e "$scratch/ready" ]; do sleep 0.1; done
start
while ! [ -e "$scratch/over" ]; do
    for order in crash stop start reload; do
        if [ -e "$scratch/$order" ]; then
            $order
            rm "$scratch/$order"
        fi
    done
    sleep 0.1
done
stop
echo CASE OK
