"""The Python client as a controller uses it: kubernetes_client.py watch|informer KUBECONFIG NAMESPACE.

Prints what it is told of the Secrets there, until its input ends: "add NAME STEP VERSION", "update NAME STEP VERSION",
"delete NAME", and "list" for each list.
"""
import functools
import sys
import threading
import time

from kubernetes import client, config, watch

mode, kubeconfig, namespace = sys.argv[1:]
api = client.CoreV1Api(config.new_client_from_config(kubeconfig))
types = {"ADDED": "add", "MODIFIED": "update", "DELETED": "delete"}


def say(line):
    print(line, flush=True)


def tell(type, secret):
    metadata = secret.metadata
    rest = "" if type == "DELETED" else f" {(metadata.labels or {}).get('step')} {metadata.resource_version}"
    say(f"{types[type]} {metadata.name}{rest}")


@functools.wraps(api.list_namespaced_secret)  # by its signature the client learns what to make of the answer
def listed(**options):
    """As `list_namespaced_secret`, but tells of lists."""
    answer = api.list_namespaced_secret(**options)
    if not options.get("watch"):
        say("list")
    return answer


def follow():
    """The loop of the client's documentation: it lists, watches, and after a failure goes on from where it was."""
    known, version = {}, None
    while True:
        try:
            if version is None:
                answer = listed(namespace=namespace)
                now = {secret.metadata.name: secret for secret in answer.items}
                for name in known.keys() - now.keys():
                    tell("DELETED", known[name])
                for name, secret in now.items():
                    before = known.get(name)
                    if before is None or before.metadata.resource_version != secret.metadata.resource_version:
                        tell("MODIFIED" if before else "ADDED", secret)
                known, version = now, answer.metadata.resource_version
            watcher = watch.Watch()
            for event in watcher.stream(
                listed, namespace=namespace, resource_version=version, allow_watch_bookmarks=True
            ):
                version = watcher.resource_version
                if event["type"] == "BOOKMARK":
                    continue
                secret = event["object"]
                tell(event["type"], secret)
                if event["type"] == "DELETED":
                    known.pop(secret.metadata.name, None)
                else:
                    known[secret.metadata.name] = secret
        except client.ApiException as error:
            if error.status == 410:
                version = None
            time.sleep(0.2)
        except Exception:  # the server is away
            time.sleep(0.2)


if mode == "watch":
    threading.Thread(target=follow, daemon=True).start()
else:
    from kubernetes.informer import SharedInformer  # which older releases do not have

    informer = SharedInformer(listed, namespace)
    for type in types:
        informer.add_event_handler(type, lambda secret, type=type: tell(type, secret))
    informer.start()
sys.stdin.read()
