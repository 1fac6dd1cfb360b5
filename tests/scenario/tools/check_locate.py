#!/usr/bin/env python3
"""check_locate.py CASE_DIR RESULT.json EXIT_CODE [...]: does what `droppoint locate` says agree with what was really
dropped? Prints nothing and returns 0, or says what is wrong and returns 1. Of several cases it says for each whether it is right."""
import json
import os
import sys

wrong = []


def expect(what, got, wanted):
    if got != wanted:
        wrong.append(f"{what}: {got!r}, expected {wanted!r}")


def outside(findings):
    return [f for f in findings if f["from"] == "before" or f["to"] == "beyond"]


def check_clean(case, result, code):
    # What the end hosts' own TCP dropped, by the kernel's count, is lost outside the vantage points, and TCP shows it.
    if case.get("host_drops") and result["findings"] and result["findings"] == outside(result["findings"]):
        expect("exit code", code, 1)
        return
    expect("exit code", code, 0)
    expect("verdict", result["verdict"]["code"], "clean")
    expect("findings", [f["summary"] for f in result["findings"]], [])


def check_other_segments(result, faulty):
    """Nothing may be lost where nothing was dropped."""
    for segment in result["segments"]:
        for direction in ("forward", "reverse"):
            here = (segment["from"], segment["to"], direction)
            counts = segment[direction]
            if here != faulty:
                for field in ("lost_packets", "lost_bytes", "unknown_packets"):
                    expect(f"{field} at {here}", counts[field], 0)
            if counts["lost_packets"] > counts["packets"]:
                wrong.append(f"{here}: more packets lost than entered")
    for vantage in result["vantages"]:
        expect(f"missed at {vantage['name']}", vantage["missed"], 0)


def check_finding(case, truth, result, finding):
    expect("code", finding["code"], "loss")
    expect("direction", finding["direction"], case["direction"])
    expect("pattern", finding["pattern"], case["pattern"])
    if case["pattern"] == "size" and not 100 < finding["size_over"] <= 1400:
        wrong.append(f"size_over: {finding['size_over']}")
    if not 0 < finding["confidence"] <= 1:
        wrong.append(f"confidence: {finding['confidence']}")
    if case["to"] == "beyond":
        return
    segment = next(s for s in result["segments"] if (s["from"], s["to"]) == (case["from"], case["to"]))
    counts = segment[case["direction"]]
    expect("segment kind", segment["kind"], case["kind"])
    expect("lost_bytes of the segment", counts["lost_bytes"], truth["bytes"])
    expect("unknown_packets of the segment", counts["unknown_packets"], 0)
    # A wire may merge packets before it drops them (GRO); a host drops what its own capture saw.
    if case["kind"] == "host" or case["offload"] == "off":
        expect("lost_packets of the segment", counts["lost_packets"], truth["packets"])
    share = finding["lost_packets"] / counts["packets"]
    if abs(finding["share"] - share) > 0.01:
        wrong.append(f"share: {finding['share']}, but {finding['lost_packets']} of {counts['packets']} were lost")
    others = [f for f in result["findings"] if f is not finding]
    if case.get("host_drops"):
        others = [f for f in others if f not in outside(others)]
    expect("other findings", [f["summary"] for f in others], [])


def check_reset(case, result, finding):
    expect("code", finding["code"], "reset")
    expect("direction", finding["direction"], "reverse" if case["direction"] == "forward" else "forward")


def check(directory, result_path, code):
    case = json.load(open(f"{directory}/case.json"))
    truth = json.load(open(f"{directory}/truth.json"))
    if case["place"] != "none" and case["place"] not in truth:
        raise SystemExit("the lab dropped nothing: the case proves nothing")
    for place, dropped in truth.items():
        if dropped["counter_packets"] not in (None, dropped["packets"]):
            raise SystemExit(f"the ground truth at {place} is incomplete: {dropped['packets']} of {dropped['counter_packets']}")
    try:
        result = json.load(open(result_path))
    except ValueError as error:
        raise SystemExit(f"no JSON ({error}), exit code {code}")
    expect("schema", result["schema"], "droppoint.locate.v1")
    faulty = (case["from"], case["to"], case["direction"])
    if case["pattern"] == "clean":
        check_clean(case, result, code)
        check_other_segments(result, None)
    else:
        expect("exit code", code, 1)
        if not result["findings"]:
            raise SystemExit(f"no finding; verdict {result['verdict']}")
        finding = result["findings"][result["verdict"]["finding"]]
        expect("verdict", result["verdict"]["code"], finding["code"])
        expect("segment", (finding["from"], finding["to"]), (case["from"], case["to"]))
        if case["pattern"] == "reset":
            check_reset(case, result, finding)
        else:
            check_finding(case, truth[case["place"]], result, finding)
        check_other_segments(result, faulty)
        for field in ("summary", "next_step"):
            if len(finding[field]) < 20:
                wrong.append(f"{field} says nothing: {finding[field]!r}")


def main():
    cases, failed = [sys.argv[i:i + 3] for i in range(1, len(sys.argv), 3)], False
    for directory, result_path, code in cases:
        wrong.clear()
        try:
            check(directory, result_path, int(code))
        except SystemExit as error:
            wrong.append(str(error))
        if len(cases) > 1:
            print("FAIL" if wrong else "ok  ", os.path.basename(directory))
        for line in wrong:
            print("   ", line)
        failed = failed or bool(wrong)
    sys.exit(1 if failed else 0)


main()
