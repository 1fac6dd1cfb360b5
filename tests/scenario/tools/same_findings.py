#!/usr/bin/env python3
"""same_findings.py A.json B.json [--loss-only]: two locate documents must say the same. Clocks, delays and the
"capture" member may differ. --loss-only compares the verdict, the findings and the losses of segments, and no other count."""
import json
import sys

VANTAGE = ("name", "packets", "matched", "missed")
COUNTS = ("packets", "bytes", "lost_packets", "lost_bytes", "unknown_packets", "duplicated_packets")
FINDING = ("code", "from", "to", "direction", "pattern", "size_over", "lost_packets", "lost_bytes", "flows", "smtp_reply")


def essence(path, loss_only):
    doc = json.load(open(path))
    counts = ("lost_packets", "lost_bytes") if loss_only else COUNTS
    vantage = ("name",) if loss_only else VANTAGE
    finding = tuple(f for f in FINDING if not (loss_only and f == "flows"))
    return {
        "vantages": [{k: v.get(k) for k in vantage} for v in doc["vantages"]],
        "segments": [{"from": s["from"], "to": s["to"], **{d: {k: s[d][k] for k in counts} for d in ("forward", "reverse")}}
                     for s in doc["segments"]],
        "findings": [{k: f.get(k) for k in finding} for f in doc["findings"]],
        "verdict": doc["verdict"]["code"],
    }


def differences(a, b, where=""):
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a:
            yield from differences(a[key], b.get(key), f"{where}/{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for number, (x, y) in enumerate(zip(a, b)):
            yield from differences(x, y, f"{where}/{number}")
    elif a != b:
        yield f"    {where}: {a} and {b}"


def main():
    loss_only = "--loss-only" in sys.argv
    first, second = [word for word in sys.argv[1:] if not word.startswith("--")]
    lines = list(differences(essence(first, loss_only), essence(second, loss_only)))
    print("\n".join(lines)) if lines else None
    sys.exit(1 if lines else 0)


main()
