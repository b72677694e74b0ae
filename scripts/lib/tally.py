#!/usr/bin/python3
"""Counts test cases: tally.py CTEST_JUNIT.xml GTEST_XML_DIR

A ctest entry that left a GoogleTest report counts with its cases, any other one as a single case. Prints one line
"PASSED FAILED SKIPPED" on stdout, the names of what failed or was skipped (with reasons) on stderr.
"""
import os
import re
import sys
import xml.etree.ElementTree as ElementTree


def gtest_cases(path):
    """(passed, failed names, {skip reason: names}) of one GoogleTest report."""
    passed, failed, skipped = 0, [], {}
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        skip = case.find("skipped")
        if case.find("failure") is not None:
            failed.append(name)
        elif skip is not None:
            # "file:line\nreason"
            reason = " ".join((skip.get("message") or "").split("\n")[1:]).strip()
            skipped.setdefault(reason or "no reason given", []).append(name)
        elif case.get("result") == "completed":
            passed += 1
    return passed, failed, skipped


def main():
    junit, reports = sys.argv[1:3]
    passed, failed, skipped = 0, [], {}
    for entry in ElementTree.parse(junit).iter("testcase"):
        name, status = entry.get("name"), entry.get("status")
        report = os.path.join(reports, f"test_{name}.xml")
        if os.path.exists(report):
            p, f, s = gtest_cases(report)
            passed += p
            failed += [f"{name}: {case}" for case in f]
            for reason, cases in s.items():
                skipped.setdefault(reason, []).extend(f"{name}: {case}" for case in cases)
            if status == "fail" and not f:  # died, or a sanitizer spoke at exit
                failed.append(f"{name} (the program failed)")
        elif status == "run":
            passed += 1
        elif status == "notrun" and "SKIP_RETURN_CODE" in entry.find("skipped").get("message"):
            output = entry.findtext("system-out") or ""
            reason = re.search(r"^skipped: (.*)$", output, re.MULTILINE)
            skipped.setdefault(reason.group(1) if reason else "no reason given", []).append(name)
        else:  # failed, or its program is missing
            failed.append(name)
    for name in failed:
        print(f"  FAILED   {name}", file=sys.stderr)
    for reason, names in skipped.items():
        print(f"  skipped  {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {reason}", file=sys.stderr)
    print(passed, len(failed), sum(len(names) for names in skipped.values()))


if __name__ == "__main__":
    main()
