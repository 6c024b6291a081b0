"""All benchmarks: `./shaketable bench`. Each prints its own table; ratios are against what a user would pick instead.

Live figures need root, Docker and Open vSwitch; without them that part says so and the others run.
"""

from __future__ import annotations

import argparse

from benchmarks import agreement, campaign, decisions, links, live, pipeline, placement, scale, twin, verdicts


def main() -> int:
    """Run the parts asked for (default: all)."""
    with_options = {
        "placement": placement.main,
        "scale": scale.main,
        "twin": twin.main,
        "pipeline": pipeline.main,
        "agreement": agreement.main,
        "campaign": campaign.main,
    }
    plain = {"decisions": decisions.main, "live": live.main, "verdicts": verdicts.main, "links": links.main}
    parts = [*with_options, *plain]
    parser = argparse.ArgumentParser(
        add_help=False, description=__doc__, epilog="Options are the part's own: twin --help."
    )
    parser.add_argument("part", nargs="*", help=f"of {', '.join(parts)}; default all")
    named, rest = parser.parse_known_args()
    chosen = named.part or list(parts)
    unknown = [name for name in chosen if name not in parts]
    if rest in (["-h"], ["--help"]) and not named.part:
        parser.print_help()
        return 0
    if rest and len(chosen) != 1:
        parser.error(f"options ({' '.join(rest)}) go with one part")
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are: {', '.join(parts)}")
    for name in chosen:
        print(f"== {name}")
        if name in with_options:
            with_options[name](rest)
        else:
            plain[name]()
        print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
