"""The same calls by the published package itself."""

from openshell import GatewayError, SandboxClient, WorkspaceClient  # noqa: F401  (GatewayError: that it is there)

WORKSPACE = "default"


class Published:
    """One method per call of the SDK; answers are plain values."""

    def __init__(self):
        self._client = SandboxClient.from_active_cluster()

    def health(self):
        answer = self._client.health()
        return {"status": answer.status, "version": answer.version}

    def create(self, name, labels=None):
        return self._ref(self._client.create(workspace=WORKSPACE, name=name or None, labels=labels))

    def get(self, name):
        return self._ref(self._client.get(name, workspace=WORKSPACE))

    def wait_ready(self, name):
        return self._ref(self._client.wait_ready(name, workspace=WORKSPACE))

    def list(self, selector=""):
        return [ref.name for ref in self._client.list_all(workspace=WORKSPACE, label_selector=selector)]

    def exec(self, name, command, stdin=b"", environment=None, timeout_seconds=0):
        session = self._client.get_session(name, workspace=WORKSPACE)
        more = {"env": environment} if environment else {}
        result = session.exec(command, stdin=stdin or None, timeout_seconds=timeout_seconds or None, **more)
        return result.exit_code, result.stdout, result.stderr

    def stop(self, name):
        self._client.stop(name, workspace=WORKSPACE)
        self._client.wait_stopped(name, workspace=WORKSPACE)

    def start(self, name):
        return self._ref(self._client.start(name, workspace=WORKSPACE))

    def delete(self, name, allow_missing=False):
        return self._client.delete(name, workspace=WORKSPACE, allow_missing=allow_missing).outcome.name

    def workspaces(self):
        return [ref.name for ref in WorkspaceClient.from_sandbox_client(self._client).list()]

    @staticmethod
    def code(error):
        return error.code().name

    @staticmethod
    def _ref(ref):
        return {
            "id": ref.id,
            "name": ref.name,
            "workspace": ref.workspace,
            "labels": dict(ref.labels),
            "phase": ref.status.phase,
            "host_key_fingerprint": ref.host_key_fingerprint,
        }
