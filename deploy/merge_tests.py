#!/usr/bin/env python3
"""merge_tests.py BUILDS PRESET:LABEL,LABEL... : one CTestTestfile.cmake, on standard output, that runs the tests of
several build directories BUILDS/PRESET as PRESET/NAME. A test is taken when it has one of the labels; "other" takes
those with none of the labels that any preset names, except benchmarks."""
import json
import subprocess
import sys

KNOWN = {"unit", "golden", "scenario", "store", "fuzz", "bench"}


def quote(text):
    level = "="
    while f"]{level}]" in text:
        level += "="
    return f"[{level}[{text}]{level}]"


def main():
    builds = sys.argv[1]
    for argument in sys.argv[2:]:
        preset, labels = argument.split(":")
        labels = set(labels.split(","))
        shown = subprocess.run(["ctest", "--test-dir", f"{builds}/{preset}", "--show-only=json-v1"],
                               check=True, capture_output=True, text=True)
        for test in json.loads(shown.stdout)["tests"]:
            properties = {p["name"]: p["value"] for p in test["properties"]}
            own = set(properties.get("LABELS", [])) & KNOWN or {"other"}
            if not own & labels:
                continue
            if "command" not in test:
                raise SystemExit(f"test {test['name']} of {preset} has no program: was everything built?")
            name = f"{preset}/{test['name']}"
            print("add_test(" + " ".join(quote(word) for word in [name, *test["command"]]) + ")")
            properties["LABELS"] = [preset, *properties.get("LABELS", [])]
            # The same test of two builds, at the same time, may get into its own way (a port, a file).
            properties["RESOURCE_LOCK"] = [*properties.get("RESOURCE_LOCK", []), test["name"]]
            for key, value in properties.items():
                if key in ("DEPENDS", "FIXTURES_SETUP", "FIXTURES_REQUIRED", "FIXTURES_CLEANUP"):
                    value = [f"{preset}/{item}" for item in value]
                if isinstance(value, list):
                    value = ";".join(str(item) for item in value)
                if isinstance(value, bool):
                    value = "ON" if value else "OFF"
                print(f"set_tests_properties({quote(name)} PROPERTIES {key} {quote(str(value))})")


main()
