"""A thousand replacements of the configuration under load: each answer is one file's, none fails, and memory stays.

Two files take each other's place, thirteen renames at a time; then the last one has to take effect before it goes on. In
the one file the Changing role is `name-a` in `group-a`, in the other `name-b` in `group-b`, at another place of the list.
"""

from pathlib import Path

from load import Load
from server_process import Server, configuration, rendered
from stand_in import ACCOUNT

REPLACEMENTS = 1_001
# An odd number, so that the last of them is never the file that is in force.
AT_A_TIME = 13
# Enough that a list is not swapped in one go by chance.
OTHERS = 300
# What allocators keep for themselves; a policy that stayed behind after each turn would be ten times as much.
GROWTH_KIB = 6 * 1024
READY = "aws_iam_authenticator_config_last_reload_successful"


def test_a_thousand_replacements_under_load_show_whole_files_only(binary, aws, tmp_path):
    (tmp_path / "state").mkdir()
    path = tmp_path / "config.yaml"
    texts = {letter: text(tmp_path, aws, letter) for letter in "ab"}
    path.write_text(texts["a"])
    server = Server([binary, "server", "--config", path], tmp_path / "state")
    load = Load(server, aws)
    try:
        memory, written = [], 0
        while written < REPLACEMENTS:
            for _ in range(AT_A_TIME):
                written += 1
                letter = "ba"[written % 2 == 0]
                fresh = path.with_name("fresh")
                fresh.write_text(texts[letter])
                fresh.rename(path)
            load.await_each(lambda one: one.who == "Constant" or one.name == f"name-{letter}")
            memory.append(server.used("VmRSS"))
        decided = load.stop()
        assert {(one.who, one.name, one.groups) for one in decided} == {
            ("Changing", "name-a", ("group-a", "everybody")),
            ("Changing", "name-b", ("group-b", "everybody")),
            ("Constant", "constant", ("everybody",)),
        }
        assert server.metric(READY) == 1
        assert server.lines("not reloaded") == []
        assert len(server.lines("configuration reloaded")) >= REPLACEMENTS // AT_A_TIME
        # The first tenth fills what is kept for later.
        warm = max(memory[: len(memory) // 10])
        assert memory[-1] <= warm + GROWTH_KIB, memory
    finally:
        load.end()
        server.stop()


def text(directory: Path, aws, letter: str) -> str:
    others = [role(f"Other{letter}{n}", f"other-{n}", []) for n in range(OTHERS)]
    ours = [
        role("Changing", f"name-{letter}", [f"group-{letter}", "everybody"]),
        role("Constant", "constant", ["everybody"]),
    ]
    roles = others + ours if letter == "a" else ours + others[1:]
    return rendered(configuration(directory, aws, mapRoles=roles))


def role(name: str, username: str, groups: list[str]) -> dict:
    return {"rolearn": f"arn:aws:iam::{ACCOUNT}:role/{name}", "username": username, "groups": groups}
