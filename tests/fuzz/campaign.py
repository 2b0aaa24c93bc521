"""One target in a process of its own, under libFuzzer: `python -m tests.fuzz.campaign TARGET [libFuzzer's options]`.

atheris has to be there before what it watches is imported. `__main__` starts it.
"""

import sys

import atheris

from tests.fuzz import target as targets


def main() -> None:
    name = sys.argv.pop(1)
    module = f"{targets.__package__}.targets.{name}"
    packages = _instrumented(name)
    with atheris.instrument_imports(include=[*packages, module], enable_loader_override=False):
        target = targets.load(name)
    atheris.Setup(sys.argv, lambda data: _once(target, data))
    atheris.Fuzz()


def _instrumented(name: str) -> list[str]:
    """Read without importing the target, which would import what has to be watched."""
    import ast

    text = (targets.HERE / "targets" / f"{name}.py").read_text()
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == "INSTRUMENTED":
            return list(ast.literal_eval(statement.value))
    raise SystemExit(f"{name}: no INSTRUMENTED")


def _once(target: targets.Target, data: bytes) -> None:
    target.take(data)


if __name__ == "__main__":
    main()
