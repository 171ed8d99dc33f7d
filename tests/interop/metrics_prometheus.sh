# Checks a page of metrics with promtool, and runs Prometheus on the server of the case, with the alerts and the dashboard of docs/prometheus.
set -eu
for argument in "$@"; do
    case $argument in
        scratch=*) scratch=${argument#scratch=} ;;
        port=*) port=${argument#port=} ;;
    esac
done
docs=$(cd "$(dirname "$0")/../../docs" && pwd)
fail() {
    echo "CASE FAILED: prometheus: $*"
    exit 1
}
wait_for() {
    while ! [ -e "$scratch/$1" ]; do sleep 0.1; done
}
wait_for page
# Exit code 3: it parses, and promtool has a remark about style, which counts here.
"$PROMTOOL" check metrics < "$scratch/page" || fail "promtool check metrics"
"$PROMTOOL" check rules "$docs/prometheus/alerts.yml" || fail "promtool check rules"

# What docs/deploying.md says, for this server, in a hurry, and with alerts that do not wait.
sed -n '/<!-- tested: prometheus -->/,/^```$/p' "$docs/deploying.md" | sed '1,2d;$d' > "$scratch/prometheus.yml"
sed -i "s/127.0.0.1:9081/127.0.0.1:$port/; s/scrape_interval: .*/scrape_interval: 500ms/; s/127.0.0.1:9082/127.0.0.1:1/" "$scratch/prometheus.yml"
# Something else that this Prometheus watches, and that is down.
sed -i 's/^rule_files:/  - job_name: other\n    scrape_interval: 500ms\n    static_configs:\n      - targets: ["127.0.0.1:1"]\n&/' "$scratch/prometheus.yml"
printf 'global:\n  evaluation_interval: 500ms\n' >> "$scratch/prometheus.yml"
sed 's/for: .*/for: 0s/' "$docs/prometheus/alerts.yml" > "$scratch/alerts.yml"
"$PROMTOOL" check config "$scratch/prometheus.yml" || fail "promtool check config"
at=127.0.0.1:$(cat "$scratch/prometheus_port")
"$PROMETHEUS" --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/data" --web.listen-address="$at" \
    > "$scratch/prometheus.log" 2>&1 &
prometheus=$!
has() {
    "$PROMTOOL" query instant "http://$at" "$1" 2> "$scratch/query.log" | grep -q '=>'
}
until_it_has() {
    until has "$1"; do
        kill -0 "$prometheus" || fail "prometheus ended: $(tail -3 "$scratch/prometheus.log")"
        sleep 0.2
    done
    echo "$1"
}
until_it_has 'up == 1 and websocket_peers == 20 and rate(websocket_packets_in_total[10s]) > 20'
# A server that is not there.
until_it_has 'ALERTS{alertname="GameServerDown", alertstate="firing"}'
until_it_has 'up{job="other"} == 0'
# The rules are evaluated twice in that time.
sleep 1
has 'ALERTS{job="other"}' && fail "an alert about something that is no game server"
sed -n 's/.*"expr": "\(.*\)",$/\1/p' "$docs/prometheus/dashboard.json" | sed 's/\$__rate_interval/1m/g' > "$scratch/panels"
[ -s "$scratch/panels" ] || fail "no panels"
while read -r panel; do
    until_it_has "$panel"
done < "$scratch/panels"
has 'ALERTS{alertname="GameServerStuck"}' && fail "an alert about a game that polls"
: > "$scratch/stuck"
until_it_has 'ALERTS{alertname="GameServerStuck", alertstate="firing"}'
: > "$scratch/over"
kill "$prometheus"
wait "$prometheus" || true
echo CASE OK
