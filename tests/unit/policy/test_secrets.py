# ruff: noqa: E501 (tables of exact texts)
"""Passwords: from a file, the environment or systemd, or there; and never in what is printed."""

import pytest

from sbc.app import run
from sbc.core.secret import Secret
from sbc.policy.check import summary
from sbc.policy.load import load_policy
from sbc.policy.model import Auth
from sbc.policy.problems import PolicyError

SOURCES = "expected printable characters, or {file: PATH}, {env: NAME} or {credential: NAME}"


def trunk(password: str, more: str = "") -> str:
    return f"trunks:\n  x: {{interface: outside, servers: sip:x.example, auth: {{username: acme, password: {password}{more}}}}}\n"


def written(tmp_path, well, password):
    (tmp_path / "a.yaml").write_text(well + "routes: [{to: dids}]\n")
    (tmp_path / "b.yaml").write_text(trunk(password))
    return tmp_path


def test_a_file_is_relative_to_the_file_that_names_it_and_its_final_newline_is_cut(tmp_path, well):
    (tmp_path / "secrets").mkdir()
    for text in ("hunter2", "hunter2\n", "hunter2\r\n"):
        (tmp_path / "secrets" / "x").write_bytes(text.encode())
        policy = load_policy([written(tmp_path, well, "{file: secrets/x}")])
        assert policy.peers["x"].auth.password.text == "hunter2"
        assert policy.warnings == ()


def test_a_file_may_be_absolute(tmp_path, well, load):
    (tmp_path / "x").write_text("hunter2")
    assert load(well, trunk(f"{{file: {tmp_path}/x}}")).peers["x"].auth.password == Secret("hunter2")


def test_a_variable_of_the_environment(load, well):
    policy = load(well, trunk("{env: CARRIER}"), environment={"CARRIER": "hunter2"})
    assert policy.peers["x"].auth == Auth("acme", Secret("hunter2"), where=policy.peers["x"].auth.where)


def test_a_credential_of_systemd(tmp_path, load, well):
    (tmp_path / "carrier").write_text("hunter2\n")
    policy = load(well, trunk("{credential: carrier}"), environment={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert policy.peers["x"].auth.password == Secret("hunter2")


def test_a_literal_works_with_a_warning_that_cites_the_line(load, well):
    policy = load(well, trunk("hunter2"), "routes: [{to: dids}]")
    assert policy.peers["x"].auth.password == Secret("hunter2")
    assert [str(warning) for warning in policy.warnings] == [
        "b.yaml:2:84: a password stands in the policy; better {file: PATH}, {env: NAME} or {credential: NAME}"
    ]
    assert policy.unresolved == ()


def unresolved(tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two").write_text("a\nb\n")
    (tmp_path / "latin").write_bytes(b"\xfc")
    (tmp_path / "large").write_text("x" * 5000)
    return [
        ("{env: NONE}", "the environment variable `NONE` is not set; expected it to hold the password"),
        ("{env: EMPTY}", "the environment variable `EMPTY` is empty; expected a password"),
        (
            "{credential: x}",
            "the credential `x` cannot be read: $CREDENTIALS_DIRECTORY is not set; expected LoadCredential= in the unit",
        ),
        (
            f"{{file: {tmp_path}/none}}",
            f"the secret `{tmp_path}/none` cannot be read: No such file or directory; expected a readable file",
        ),
        (f"{{file: {tmp_path}}}", f"the secret `{tmp_path}` cannot be read: not a file; expected a readable file"),
        (f"{{file: {tmp_path}/empty}}", f"the secret `{tmp_path}/empty` is empty; expected a password"),
        (
            f"{{file: {tmp_path}/two}}",
            f"the secret `{tmp_path}/two` holds more than a password; expected one line of printable characters",
        ),
        (f"{{file: {tmp_path}/latin}}", f"the secret `{tmp_path}/latin` is not UTF-8; expected a password in UTF-8"),
        (
            f"{{file: {tmp_path}/large}}",
            f"the secret `{tmp_path}/large` cannot be read: larger than 4 KiB; expected a readable file",
        ),
    ]


def test_what_cannot_be_read_is_a_warning_and_kept_as_unresolved(tmp_path, load, well):
    for password, problem in unresolved(tmp_path):
        policy = load(well, trunk(password), "routes: [{to: dids}]", environment={"EMPTY": ""})
        assert policy.peers["x"].auth.password is None
        assert [f"{p.wrong}; {p.expected}" for p in policy.unresolved] == [problem]
        assert policy.warnings == policy.unresolved
        assert "logs in as acme · its password cannot be read" in summary(policy)


def test_a_policy_that_is_to_run_needs_its_passwords(tmp_path, well):
    paths = [written(tmp_path, well, "{env: CARRIER}")]
    assert load_policy(paths, wants_secrets=True, environment={"CARRIER": "x"}).unresolved == ()
    with pytest.raises(PolicyError, match=r"b\.yaml:2:\d+: the environment variable `CARRIER` is not set"):
        load_policy(paths, wants_secrets=True)


def test_run_refuses_before_it_opens_anything(tmp_path, well):
    with pytest.raises(PolicyError, match="`SBC_NO_SUCH_VARIABLE` is not set"):
        run([written(tmp_path, well, "{env: SBC_NO_SUCH_VARIABLE}")])


WRONG = [
    ("[a]", "`password` does not say where it is to be had"),
    ("{}", "`password` does not say where it is to be had"),
    ("{hunter2}", "`password` does not say where it is to be had"),
    ("{vault: hunter2}", "`password` does not say where it is to be had"),
    ("{file: a, env: hunter2}", "`password` does not say where it is to be had"),
    ("{env: [hunter2]}", "`password` does not say where it is to be had"),
    ("{env: hunter2=}", "this cannot be the name of `env`"),
    ("{credential: ../hunter2}", "this credential is a path"),
    ("''", "this cannot be a password"),
    ('"hunter2\\n"', "this cannot be a password"),
]


@pytest.mark.parametrize(("password", "error"), WRONG, ids=[password for password, _ in WRONG])
def test_an_error_does_not_repeat_what_may_be_a_password(errors, well, password, error):
    (found,) = errors(well, trunk(password))
    assert error in found
    assert "hunter2" not in found


def test_an_account_needs_both(errors, well):
    found = errors(well, "trunks:\n  x: {interface: outside, servers: sip:h, auth: {}}\n")
    assert [line.split(": ", 1)[1].split(";")[0] for line in found] == [
        "`auth` has no `username`",
        "`auth` has no `password`",
    ]


def test_no_representation_shows_a_password(load, well):
    pbx = "pbxs:\n  y: {interface: inside, address: sip:y.example, auth: {username: a, password: {env: E}}}\n"
    text = trunk("hunter2") + pbx
    policy = load(well, text, environment={"E": "hunter3"})
    shown = [repr(policy.peers), repr(policy.warnings), summary(policy), str(policy.peers["y"].auth.password)]
    assert "hunter" not in "".join(shown)


def pbx(algorithms: str) -> str:
    return (
        "pbxs:\n  x: {interface: inside, address: sip:h, "
        f"auth: {{username: a, password: {{env: A}}, algorithms: {algorithms}}}}}\n"
    )


def test_algorithms_keep_their_order(load, well):
    assert load(well, pbx("[SHA-256, md5]")).peers["x"].auth.algorithms == ("sha-256", "md5")
    assert load(well, pbx("sha-512-256")).peers["x"].auth.algorithms == ("sha-512-256",)


def test_algorithms_are_known_and_stand_once(errors, well):
    assert "`sha-1` is no algorithm here; expected md5, sha-256, sha-512-256" in errors(well, pbx("sha-1"))[0]
    assert "`md5` stands twice; expected each algorithm once" in errors(well, pbx("[md5, md5]"))[0]
