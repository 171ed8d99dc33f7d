# Starts a server and a client, each in a network namespace of its own, with two networks between them. Whoever runs this is in a namespace
# of its own already, which becomes that of the server.
#
#     two_networks.sh PROGRAM ARGUMENTS...    both get these, and role=server or role=client
#
# The server has the address 10.0.0.1, whichever way one comes to it. The client has 10.1.0.2 in the first network, which it uses, and can
# have 10.2.0.2 in the second one.
set -eu
ip link set lo up
ip address add 10.0.0.1/32 dev lo
unshare --net sleep 300 &
there=$!
trap 'kill $there' EXIT
while [ "$(readlink /proc/$there/ns/net)" = "$(readlink /proc/$$/ns/net)" ]; do sleep 0.05; done
for number in 1 2; do
    ip link add here$number type veth peer name there$number netns $there
    ip address add 10.$number.0.1/24 dev here$number
    ip link set here$number up
done
nsenter --target $there --net sh -eu -c '
    ip link set lo up
    ip address add 10.1.0.2/24 dev there1
    ip link set there1 up
    ip route add 10.0.0.1 via 10.1.0.1'
"$@" role=server &
server=$!
nsenter --target $there --net "$@" role=client || exit 1
wait $server
