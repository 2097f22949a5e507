"""A synthesized stack, kept up by `fanfold local --template`."""

import contextlib
import subprocess


@contextlib.contextmanager
def stack(program, template):
    """Gives the variables that lead to it."""
    command = [program, "local", "--template", template]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
        try:
            yield environment_of(process)
        finally:
            process.terminate()


def environment_of(process):
    """What it prints, of which the last line says that it is up."""
    environment = {}
    while "FANFOLD_WORK_URI" not in environment:
        line = process.stdout.readline()
        assert line.startswith("export "), f"instead of a variable, it printed {line!r}"
        name, _, value = line.removeprefix("export ").strip().partition("=")
        environment[name] = value
    return environment
