#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the reports of Surefire and Failsafe: no test was skipped, each module with tests has run them, and each fuzz test had new inputs.

Silent if so; otherwise says what is wrong and exits with 1.
"""
import argparse
import os
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

OTHER_KIND = ("this backend does not take the guest's rings", "this backend takes the guest's rings")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--newer-than", required=True, help="a file that was made before the tests ran")
    arguments.add_argument("root", nargs="?", default=".")
    options = arguments.parse_args()
    since = os.stat(options.newer_than).st_mtime
    root = pathlib.Path(options.root)
    wrong = []
    total = 0
    for pom in sorted(root.rglob("pom.xml")):
        module = pom.parent
        # third parties' projects are built elsewhere, by ThirdPartyIT, which looks at their reports itself
        if "target" in module.parts or "examples" in module.parts or "archetype-resources" in module.parts:
            continue
        sources = [f for f in (module / "src/test/java").rglob("*.java")]
        for folder, endings in (("surefire-reports", ("Test.java",)), ("failsafe-reports", ("IT.java",))):
            reports = [r for r in (module / "target" / folder).glob("TEST-*.xml") if r.stat().st_mtime >= since]
            if not reports and any(s.name.endswith(endings) and "abstract class" not in s.read_text() for s in sources):
                wrong.append(f"{module}: there are tests {endings[0].replace('.java', '')}, but no report in target/{folder}")
            for report in reports:
                for case in ElementTree.parse(report).getroot().iter("testcase"):
                    total += 1
                    skipped = case.find("skipped")
                    reason = skipped is not None and (skipped.get("message") or skipped.text or "no reason given").split("\n")[0]
                    # a rule of the backend test kit for another kind of port than the backend has
                    if reason and not any(kind in reason for kind in OTHER_KIND):
                        wrong.append(f"{module}: skipped {case.get('classname')}.{case.get('name')}: {reason}")
        for source in (s for s in sources if s.name.endswith("FuzzTest.java") and "@FuzzTest" in s.read_text()):
            report = module / "target/fuzz-reports" / f"TEST-{'.'.join(source.relative_to(module / 'src/test/java').with_suffix('').parts)}.xml"
            if not report.exists() or report.stat().st_mtime < since:
                wrong.append(f"{module}: no new inputs were tried with {source.stem}, there is no {report} (profile fuzz)")
    if total == 0:
        wrong.append("no test was run")
    for line in wrong:
        print(f".ci/run: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
