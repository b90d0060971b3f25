"""What the text of a delegate script shows of what it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.cantaloupe import read
from sidecar.cantaloupe.delegate_script import ROLES, examine
from sidecar.config import Settings, core, load
from sidecar.errors import StartError
from sidecar.limits.access_policy import AccessPolicy

LOOKUP = """
# Looks up where images are.
class CustomDelegate
  attr_accessor :context

  def pre_authorize(options = {})
    true  # whoever comes
  end
  def authorize(options = {}); true; end

  def extra_iiif2_information_response_keys(options = {})
    {}
  end

  def source(options = {})
  end

  # def redactions(options = {}) secret end
  def s3source_object_info(options = {})
    id = context['identifier']
    { 'bucket' => 'scans', 'key' => "#{id}.jp2" }
  end

=begin
  def overlay(options = {})
    something
  end
=end
  def redactions(options = {}) = []
  def metadata(options = {}); end
end
__END__
  def authorize(options = {})
    false
  end
"""


def stub_free(body: str) -> list[str]:
    """The overridden methods of a class with this body."""
    return [*examine(None, f"class CustomDelegate\n{body}\nend\n").overridden]


def test_a_script_that_only_looks_up() -> None:
    """Stubs, comments and what stands after the end are not counted; the method that does something is."""
    found = examine(None, LOOKUP)
    assert [*found.overridden] == ["s3source_object_info"]
    assert found.only_looks_up
    assert not found.elsewhere


@pytest.mark.parametrize(
    "body",
    [
        *("def authorize(options = {})\n  false\nend", "def authorize(options = {})\nend", "def authorize; nil; end"),
        *("def authorize(options = {}) = allowed?", "def authorize(options = {}); true && x; end"),
        *("def authorize(o = {})\n  log 'x'\n  true\nend", "def authorize(options={}) true end"),
        *("def authorize(options = {})\n  return false if x\n  true\nend", "private def authorize(*)\n  x\nend"),
        *("def authorize(a,\n  b)\n  true\nend", "def self.authorize(o = {})\n  x\nend"),
        "def authorize(options = {})\n  true\nend\ndef authorize(options = {})\n  x\nend",
        "def authorize(options = {})\n  true\n  unless owner? then return false end\nend",
        # What does not begin a line counts, whatever it does.
        *("memoize def authorize(options = {})\n  true\nend", "class X; def authorize(o = {}); false; end; end"),
        *("def helper; end; def authorize(o = {}); false; end", "def CustomDelegate.authorize(o)\n  true\nend"),
        "__END__x\ndef authorize(options = {})\n  false\nend",
        # No comment, and no end of the line for Ruby.
        "X = ' # '; def authorize(options = {}); false; end",
        *(f"# a{end}__END__\ndef authorize(options = {{}})\n  false\nend" for end in "\r\f\x85\u2028"),
    ],
)
def test_what_is_no_plain_stub_counts(body: str) -> None:
    """Whatever is written otherwise than the simplest stub may refuse somebody: so does what returns nothing."""
    assert stub_free(body) == ["authorize"]


@pytest.mark.parametrize(
    "body",
    [
        *("def authorize(options = {})\n  true\nend", "def authorize\n\n  # all\n  return true\nend"),
        *("def authorize(_options = {}); true; end", "def authorize = true", "def authorize(*)\r\n  true\r\nend"),
        *("def redactions(options = {})\n  [ ]\nend", "def metadata(options = {})\n  nil\nend", "def source; end"),
        "def authorize(options = {})\n  true # it's all right\nend",
        *("def helper\n  false\nend", "x = 'def authorize'", "# def authorize\n# false"),
    ],
)
def test_stubs_do_not_count(body: str) -> None:
    """Nor do methods that Cantaloupe does not call."""
    assert stub_free(body) == []


@pytest.mark.parametrize(
    "line, word",
    [
        ("class CustomDelegate < Base", "a parent class"),
        ("  include Auth", "include"),
        ("  define_method(:authorize) { false }", "define_method"),
        ("  def method_missing(name, *args)", "method_missing"),
        ("require_relative 'auth'", "require_relative"),
        ("  eval(File.read('x'))", "eval"),
        ("  alias authorize check", "alias"),
        ("require './auth'", "require"),
        ("require('/etc/cantaloupe/auth')", "require"),
        ("require File.expand_path('auth', __dir__)", "require"),
        ('require "#{__dir__}/auth"', "require"),
        ("Dir['/etc/cantaloupe/*.rb'].each { |file| require file }", "require"),
        ("class Site::Delegate < Base", "a parent class"),
        ("  instance_exec(&guard)", "instance_exec"),
        ("CustomDelegate = Class.new(Base) do", "Class.new"),
    ],
)
def test_methods_that_may_come_from_elsewhere(line: str, word: str) -> None:
    """Words by which they could are reported, since the text does not show them."""
    found = examine(None, f"require 'json'\nrequire('net/http')\n{line}\nend")
    assert [*found.elsewhere] == [word]
    assert not found.only_looks_up


def test_every_method_has_a_role() -> None:
    """What a delegate overrides is known to look up, to guard or to add."""
    for name, role in ROLES.items():
        found = examine(None, f"def {name}(options = {{}})\n  x = 1\n  x\nend")
        assert [*found.of_role(role)] == [name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Cantaloupe's folder, with a script in use."""
    (tmp_path / "cantaloupe.properties").write_text(
        "source.static = S3Source\nS3Source.lookup_strategy = ScriptLookupStrategy\nS3Source.region = eu-west-1\n"
        "delegate_script.enabled = true\ndelegate_script.pathname = elsewhere/delegates.rb\n"
    )
    (tmp_path / "delegates.rb").write_text(LOOKUP)
    return tmp_path


def policy(folder: Path, **more: object) -> AccessPolicy:
    """What is left to the sidecar."""
    found = read(folder / "cantaloupe.properties", [Settings], {})
    return AccessPolicy.of(core(load([], None, {"cantaloupe": found.values, "own": {"": more}})))


def test_images_are_guarded_until_somebody_says_otherwise(folder: Path) -> None:
    """That a script seems to look up only does not suffice; the operator has to say it."""
    assert policy(folder).guarded_by == "delegate_script.enabled = true"
    assert not policy(folder, delegate_only_looks_up=True).guarded_by
    assert policy(folder, delegate_only_looks_up=True, guarded="by hand").guarded_by == "by hand"


def test_a_script_that_guards_counts_more_than_a_setting(folder: Path) -> None:
    """Who says that it only looks up is wrong, so every request is handed over."""
    script = folder / "delegates.rb"
    script.write_text(script.read_text().replace("authorize(options = {}); true;", "authorize(options = {}); x;"))
    assert "authorize" in policy(folder, delegate_only_looks_up=True).guarded_by
    assert not policy(folder, delegate_only_looks_up=True, authorization_is_done_in_front=True).guarded_by


def test_a_script_that_cannot_be_read(folder: Path) -> None:
    """What it does is not known, so the setting is not believed."""
    (folder / "delegates.rb").unlink()
    found = read(folder / "cantaloupe.properties", [Settings], {})
    assert found.script is not None
    assert "No such file" in found.script.problem
    assert not found.script.only_looks_up
    assert "No such file" in policy(folder, delegate_only_looks_up=True).guarded_by
    properties = folder / "cantaloupe.properties"
    properties.write_text(properties.read_text().partition("delegate_script.pathname")[0])
    assert "names no script" in policy(folder, delegate_only_looks_up=True).guarded_by


def test_a_configuration_without_a_script(tmp_path: Path) -> None:
    """No script is looked for if none is in use."""
    (tmp_path / "cantaloupe.properties").write_text("delegate_script.pathname = delegates.rb\n")
    assert read(tmp_path / "cantaloupe.properties", [Settings], {}).script is None
    with pytest.raises(StartError):
        read(tmp_path / "missing.properties", [Settings], {})
