"""Checks manifests for Kubernetes: `check.py FILE...` prints a line for each fault. Those of Kubernetes itself against its published schemas,
which the package kubernetes-validate contains; those of Agones, whose schemas no package has, against the fields that we use. Then, whether
the names, ports and labels fit together, which no schema knows."""

import sys

import jsonschema
import kubernetes_validate
import yaml

VERSION = "1.37"
# Of a StatefulSet's pod, made by Kubernetes.
POD_NAME = "statefulset.kubernetes.io/pod-name"
# Of a game server, made by Agones.
FLEET_NAME = "agones.dev/fleet"


def closed(required, **fields):
    """A mapping without any other fields: a wrong name must not pass."""
    return {"type": "object", "properties": fields, "required": required.split(), "additionalProperties": False}


def number(least):
    return {"type": "integer", "minimum": least}


def one_of(*words):
    return {"enum": list(words)}


TEXT = {"type": "string", "minLength": 1}
WORDS = {"type": "object", "additionalProperties": TEXT}
NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
SHARE = {"anyOf": [number(0), {"type": "string", "pattern": "^[0-9]+%$"}]}
META = closed("name", name=NAME, labels=WORDS, annotations=WORDS)
GAME_PORT = closed(
    "name portPolicy containerPort protocol",
    name=NAME,
    portPolicy=one_of("Dynamic"),
    containerPort={**number(1), "maximum": 65535},
    protocol=one_of("TCP"),
)
# The template of the pod is checked by the schema of Kubernetes.
GAME_SERVER = closed(
    "ports template",
    ports={"type": "array", "items": GAME_PORT, "minItems": 1},
    health=closed("", initialDelaySeconds=number(0), periodSeconds=number(1), failureThreshold=number(1)),
    eviction=closed("safe", safe=one_of("Never", "OnUpgrade", "Always")),
    template=closed("spec", metadata={"type": "object"}, spec={"type": "object"}),
)
UPDATE = closed("", maxSurge=SHARE, maxUnavailable=SHARE)
FLEET = closed(
    "template",
    replicas=number(0),
    scheduling=one_of("Packed", "Distributed"),
    strategy=closed("type", type=one_of("RollingUpdate"), rollingUpdate=UPDATE),
    template=closed("spec", metadata={"type": "object"}, spec=GAME_SERVER),
)
BUFFER = closed("maxReplicas", bufferSize=SHARE, minReplicas=number(0), maxReplicas=number(1))
AUTOSCALER = closed(
    "fleetName policy",
    fleetName=NAME,
    policy=closed("type buffer", type=one_of("Buffer"), buffer=BUFFER),
    sync=closed("type", type=one_of("FixedInterval"), fixedInterval=closed("seconds", seconds=number(1))),
)
SELECTOR = closed("matchLabels", matchLabels=WORDS, gameServerState=one_of("Ready", "Allocated"))
ALLOCATION = closed("selectors", selectors={"type": "array", "items": SELECTOR, "minItems": 1})


def whole(kind, version, spec, required="apiVersion kind metadata spec"):
    return closed(required, apiVersion=one_of(version), kind=one_of(kind), metadata=META, spec=spec)


AGONES = {
    "Fleet": whole("Fleet", "agones.dev/v1", FLEET),
    "FleetAutoscaler": whole("FleetAutoscaler", "autoscaling.agones.dev/v1", AUTOSCALER),
    "GameServerAllocation": whole(
        "GameServerAllocation", "allocation.agones.dev/v1", ALLOCATION, "apiVersion kind spec"
    ),
}


def schema_faults(manifest):
    kind = manifest.get("kind")
    try:
        if kind in AGONES:
            jsonschema.validate(manifest, AGONES[kind])
        else:
            kubernetes_validate.validate(manifest, VERSION, strict=True)
        if kind == "Fleet":
            pod = manifest["spec"]["template"]["spec"]["template"]["spec"]
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod}
            kubernetes_validate.validate(pod, VERSION, strict=True)
    except jsonschema.ValidationError as error:
        place = ".".join(str(step) for step in error.absolute_path)
        yield f"{kind} {place}: {error.message:.200}"
    except kubernetes_validate.SchemaNotFoundError as error:
        yield error.message


def container_faults(kind, pod):
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in pod["containers"]:
        ports = {port["name"] for port in container.get("ports", [])}
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{kind}: there is no volume {mount['name']}"
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
            asked = container.get(probe, {}).get("httpGet", {}).get("port")
            if asked is not None and asked not in ports:
                yield f"{kind} {probe}: there is no port {asked}"


def service_faults(service, sets):
    """A Service must choose pods that exist, and one of their ports."""
    name, spec = service["metadata"]["name"], service["spec"]
    wanted = dict(spec["selector"])
    pod_name = wanted.pop(POD_NAME, None)
    for one in sets:
        template = one["spec"]["template"]
        pods = {f"{one['metadata']['name']}-{number}" for number in range(one["spec"]["replicas"])}
        if wanted.items() <= template["metadata"]["labels"].items() and pod_name in pods | {None}:
            ports = {port["name"] for box in template["spec"]["containers"] for port in box["ports"]}
            for port in spec["ports"]:
                if port["targetPort"] not in ports:
                    yield f"Service {name}: there is no port {port['targetPort']}"
            return
    yield f"Service {name}: it chooses no pod"


def backends(ingress):
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            yield path["path"], path["backend"]["service"]


def room_faults(sets, services, ingresses):
    ports = {service["metadata"]["name"]: {p["name"] for p in service["spec"]["ports"]} for service in services}
    of_pods = {service["spec"]["selector"].get(POD_NAME): service["metadata"]["name"] for service in services}
    reached = set()
    for ingress in ingresses:
        for path, service in backends(ingress):
            if service["port"]["name"] not in ports.get(service["name"], ()):
                yield f"Ingress {path}: there is no Service {service['name']} with port {service['port']['name']}"
            reached.add(service["name"])
    for one in sets:
        if one["spec"]["serviceName"] not in ports:
            yield f"StatefulSet: there is no Service {one['spec']['serviceName']}"
        for pod in (f"{one['metadata']['name']}-{number}" for number in range(one["spec"]["replicas"])):
            if of_pods.get(pod) not in reached:
                yield f"StatefulSet: no path of the Ingress leads to {pod}"


def faults_between(manifests):
    of_kind = {}
    for manifest in manifests:
        of_kind.setdefault(manifest["kind"], []).append(manifest)
    sets, services = of_kind.get("StatefulSet", []), of_kind.get("Service", [])
    fleets = {fleet["metadata"]["name"]: fleet for fleet in of_kind.get("Fleet", [])}
    for one in sets:
        yield from container_faults("StatefulSet", one["spec"]["template"]["spec"])
    for fleet in fleets.values():
        yield from container_faults("Fleet", fleet["spec"]["template"]["spec"]["template"]["spec"])
    for service in services:
        yield from service_faults(service, sets)
    yield from room_faults(sets, services, of_kind.get("Ingress", []))
    for budget in of_kind.get("PodDisruptionBudget", []):
        labels = budget["spec"]["selector"]["matchLabels"].items()
        if not any(labels <= one["spec"]["template"]["metadata"]["labels"].items() for one in sets):
            yield "PodDisruptionBudget: it chooses no pod"
    for scaler in of_kind.get("FleetAutoscaler", []):
        if scaler["spec"]["fleetName"] not in fleets:
            yield f"FleetAutoscaler: there is no Fleet {scaler['spec']['fleetName']}"
    for allocation in of_kind.get("GameServerAllocation", []):
        for selector in allocation["spec"]["selectors"]:
            if selector["matchLabels"].get(FLEET_NAME) not in fleets:
                yield "GameServerAllocation: there is no such Fleet"


def main():
    manifests, faults = [], []
    for file in sys.argv[1:]:
        with open(file, encoding="utf-8") as text:
            manifests += yaml.safe_load_all(text)
    for manifest in manifests:
        faults += schema_faults(manifest)
    faults += faults_between(manifests)
    print("\n".join(faults) if faults else f"OK: {len(manifests)} manifests")
    sys.exit(len(faults) > 0)


main()
