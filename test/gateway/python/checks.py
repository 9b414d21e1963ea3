"""What a program on the Python SDK relies on. `checks.py plain DESCRIPTORS` over grpcio, `checks.py published` by the package; one JSON line per check."""

import base64
import json
import sys
import traceback

import grpc


def main():
    if sys.argv[1] == "plain":
        from plain import Plain

        sdk = Plain(sys.argv[2])
    else:
        from published import Published

        sdk = Published()
    failed = False
    for check in (health, lifecycle, lists, errors, output, streams, variable, time_limit, many, workspaces):
        line = {"check": check.__name__.replace("_", " "), "ok": True}
        try:
            check(sdk)
        except Exception:
            failed = True
            line |= {"ok": False, "why": traceback.format_exc()}
        print(json.dumps(line), flush=True)
    for name in ("py-life", "py-a", "py-b", "py-run"):
        sdk.delete(name, allow_missing=True)
    sys.exit(1 if failed else 0)


def same(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def code_of(sdk, call):
    try:
        call()
    except grpc.RpcError as error:
        return sdk.code(error)
    raise AssertionError("the call succeeded")


def health(sdk):
    answer = sdk.health()
    same(int(answer["status"]), 1)
    assert answer["version"], "no version"


def lifecycle(sdk):
    made = sdk.create("py-life", {"team": "a"})
    assert made["id"], "no id"
    same((made["name"], made["workspace"], made["labels"]), ("py-life", "default", {"team": "a"}))
    ready = sdk.wait_ready("py-life")
    same(ready["id"], made["id"])
    assert ready["host_key_fingerprint"].startswith("SHA256:"), "no host key"
    sdk.stop("py-life")
    assert int(sdk.start("py-life")["phase"]) != 7, "still STOPPED after start"
    sdk.wait_ready("py-life")
    same(sdk.delete("py-life"), "COMPLETED")
    same(code_of(sdk, lambda: sdk.get("py-life")), "NOT_FOUND")


def lists(sdk):
    for name in ("py-a", "py-b"):
        sdk.create(name, {"kind": "listed"})
    same(sorted(sdk.list("kind=listed")), ["py-a", "py-b"])
    assert {"py-a", "py-b"} <= set(sdk.list()), "not all listed"


def errors(sdk):
    same(code_of(sdk, lambda: sdk.delete("py-none")), "NOT_FOUND")
    same(sdk.delete("py-none", allow_missing=True), "ALREADY_ABSENT")
    same(code_of(sdk, lambda: sdk.create("py-a")), "ALREADY_EXISTS")
    same(code_of(sdk, lambda: sdk.create("Not A Name")), "INVALID_ARGUMENT")


def output(sdk):
    sdk.create("py-run")
    sdk.wait_ready("py-run")
    same(sdk.exec("py-run", ["sh", "-c", "echo out; echo err >&2; exit 3"]), (3, "out\n", "err\n"))
    same(sdk.exec("py-run", ["no-such-program"])[0], 127)


def streams(sdk):
    data = bytes(range(32, 127)) * 5000
    code, out, _ = sdk.exec("py-run", ["sh", "-c", "base64 -w0"], stdin=data)
    same((code, base64.b64decode(out) == data), (0, True))
    code, out, _ = sdk.exec("py-run", ["sh", "-c", "head -c 10485760 /dev/zero | tr '\\0' x"])
    same((code, len(out)), (0, 10 * 1024 * 1024))


def variable(sdk):
    value = "x" * 96_000
    same(sdk.exec("py-run", ["sh", "-c", "printf %s ${#OPENSHELL_PYFUNC_B64}"], environment={"OPENSHELL_PYFUNC_B64": value})[1], "96000")


def time_limit(sdk):
    same(sdk.exec("py-run", ["sleep", "60"], timeout_seconds=1)[0], 124)


def many(sdk):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda number: sdk.exec("py-run", ["echo", str(number)])[1], range(20)))
    same(answers, [f"{number}\n" for number in range(20)])


def workspaces(sdk):
    assert "default" in sdk.workspaces(), "no default workspace"


if __name__ == "__main__":
    main()
