"""The published SDK's calls over grpcio alone: messages are made from the descriptors in a file, the gateway is found as the SDK finds it."""

import json
import os
import pathlib
import time
import urllib.parse

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "openshell.v1.OpenShell"
PHASE_READY, PHASE_ERROR, PHASE_STOPPED, PHASE_COMPLETED = 2, 3, 7, 9
OUTCOMES = {1: "COMPLETED", 2: "ACCEPTED", 3: "ALREADY_ABSENT"}
SCOPE = {"workspace": "default"}


def configuration():
    root = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return pathlib.Path(root) / "openshell"


def open_channel():
    name = os.environ.get("OPENSHELL_GATEWAY") or (configuration() / "active_gateway").read_text().strip()
    directory = configuration() / "gateways" / name
    metadata = json.loads((directory / "metadata.json").read_text(encoding="utf-8"))
    url = urllib.parse.urlparse(metadata["gateway_endpoint"])
    target = f"{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}"
    if url.scheme != "https":
        return grpc.insecure_channel(target)
    ca, certificate, key = ((directory / "mtls" / file).read_bytes() for file in ("ca.crt", "tls.crt", "tls.key"))
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(ca, key, certificate))


class Plain:
    """One method per call of the SDK; answers are plain values."""

    def __init__(self, descriptors):
        pool = descriptor_pool.DescriptorPool()
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(descriptors).read_bytes())
        for file in files.file:
            pool.Add(file)
        # Its name before and since protobuf 4.22.
        make = getattr(message_factory, "GetMessageClass", None) or message_factory.MessageFactory(pool).GetPrototype
        self._calls = {}
        self._channel = open_channel()
        for method in pool.FindServiceByName(SERVICE).methods:
            kind = self._channel.unary_stream if method.name == "ExecSandbox" else self._channel.unary_unary
            request, answer = make(method.input_type), make(method.output_type)
            self._calls[method.name] = (kind(f"/{SERVICE}/{method.name}", lambda m: m.SerializeToString(), answer.FromString), request)

    def _call(self, rpc, timeout=30.0, /, **fields):
        call, request = self._calls[rpc]
        return call(request(**fields), timeout=timeout)

    def health(self):
        answer = self._call("Health")
        return {"status": answer.status, "version": answer.version}

    def create(self, name, labels=None):
        return self._ref(self._call("CreateSandbox", workspace_scope=SCOPE, name=name, labels=labels or {}, spec={}).sandbox)

    def get(self, name):
        return self._ref(self._call("GetSandbox", workspace_scope=SCOPE, name=name).sandbox)

    def wait_ready(self, name):
        while True:
            ref = self.get(name)
            if ref["phase"] in (PHASE_READY, PHASE_COMPLETED):
                return ref
            if ref["phase"] in (PHASE_ERROR, PHASE_STOPPED):
                raise RuntimeError(f"phase {ref['phase']}")
            time.sleep(0.1)

    def list(self, selector=""):
        names, token = [], ""
        while True:
            page = self._call("ListSandboxes", workspace_scope=SCOPE, page_size=1, page_token=token, label_selector=selector)
            names += [sandbox.metadata.name for sandbox in page.sandboxes]
            token = page.next_page_token
            if not token:
                return names

    def exec(self, name, command, stdin=b"", environment=None, timeout_seconds=0):
        more = {"execution_timeout": {"seconds": timeout_seconds}} if timeout_seconds else {}
        out, err, exits = b"", b"", []
        events = self._call(
            "ExecSandbox",
            max(30.0, timeout_seconds + 10),
            workspace_scope=SCOPE,
            sandbox=name,
            command=command,
            stdin=stdin,
            environment=environment or {},
            **more,
        )
        for event in events:
            kind = event.WhichOneof("payload")
            if kind == "stdout":
                out += event.stdout.data
            elif kind == "stderr":
                err += event.stderr.data
            elif kind == "exit":
                exits.append(event.exit.exit_code)
        if len(exits) != 1:
            raise RuntimeError(f"exec stream ended with {len(exits)} exits")
        return exits[0], out.decode(errors="replace"), err.decode(errors="replace")

    def stop(self, name):
        self._call("StopSandbox", workspace_scope=SCOPE, name=name)
        while self.get(name)["phase"] != PHASE_STOPPED:
            time.sleep(0.1)

    def start(self, name):
        return self._ref(self._call("StartSandbox", workspace_scope=SCOPE, name=name).sandbox)

    def delete(self, name, allow_missing=False):
        answer = self._call("DeleteSandbox", workspace_scope=SCOPE, name=name, allow_missing=allow_missing)
        return OUTCOMES.get(answer.outcome, str(answer.outcome))

    def workspaces(self):
        return [workspace.metadata.name for workspace in self._call("ListWorkspaces", page_size=100).workspaces]

    @staticmethod
    def code(error):
        return error.code().name

    @staticmethod
    def _ref(sandbox):
        metadata = sandbox.metadata
        return {
            "id": metadata.id,
            "name": metadata.name,
            "workspace": metadata.workspace,
            "labels": dict(metadata.labels),
            "phase": sandbox.status.phase,
            "host_key_fingerprint": sandbox.host_key_fingerprint,
        }
