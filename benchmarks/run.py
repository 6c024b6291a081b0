"""All benchmarks: `./shaketable bench`. Each prints its own table; ratios are against what a user would pick instead.

Live figures need root, Docker and Open vSwitch; without them that part says so and the others run.
"""

from __future__ import annotations

import argparse

from benchmarks import decisions, live, placement, verdicts


def main() -> int:
    """Run the parts asked for (default: all)."""
    parts = {"placement": placement.main, "decisions": decisions.main, "live": live.main, "verdicts": verdicts.main}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="*", help=f"of {', '.join(parts)}; default all")
    chosen = parser.parse_args().part or list(parts)
    unknown = [name for name in chosen if name not in parts]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are: {', '.join(parts)}")
    for name in chosen:
        print(f"== {name}")
        parts[name]()
        print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
