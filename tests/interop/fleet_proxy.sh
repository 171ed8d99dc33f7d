# Runs HAProxy with the configuration that the case has written.
. "$(dirname "$0")/haproxy_proxy.sh"
