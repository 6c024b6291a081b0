"""How every page looks: one sheet, light and dark by what the reader's system prefers, readable on paper."""

from __future__ import annotations

_LIGHT = """--ink:#1c2126;--dim:#5d6670;--paper:#fff;--soft:#f4f5f6;--rule:#d9dde1;
--good:#17702d;--bad:#b3261e;--doubt:#8a6100;
--c0:#0b5fa5;--c1:#c0392b;--c2:#1e8449;--c3:#8e44ad;--c4:#b9770e;--c5:#117a8b;--c6:#6c6e6e;--c7:#d35480;
--bar:#b7c3cf;--fault:#f6d8d3;--crowd:#d9e6f5;--h0:#cfd5da;--h1:#f2c14e;--h2:#ee8a36;--h3:#d1495b;--h4:#7b1e4b"""
_DARK = """--ink:#e4e7ea;--dim:#9aa4ae;--paper:#15181b;--soft:#1f2429;--rule:#3a4148;
--good:#5fc77a;--bad:#ff8a80;--doubt:#e6b450;
--c0:#62aef0;--c1:#f0857a;--c2:#67c98b;--c3:#c795e0;--c4:#e3ac52;--c5:#59c3d4;--c6:#a9acac;--c7:#f092b3;
--bar:#4a5662;--fault:#52302c;--crowd:#27394d;--h0:#4a525a;--h1:#b98d25;--h2:#e08a3c;--h3:#f0707f;--h4:#ff9fd0"""

STYLE = f""":root{{color-scheme:light dark;{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:var(--ink);background:var(--paper)}}
h1{{font-size:1.5rem;line-height:1.25;margin-bottom:.3rem}}
h2{{font-size:1.15rem;margin:2.4rem 0 .6rem}}
h3{{font-size:1rem;margin:1.2rem 0 .2rem}}
pre{{background:var(--soft);padding:1rem;overflow:auto;font-size:13px;
white-space:pre-wrap;overflow-wrap:anywhere}}
a{{color:var(--c0)}}
.pass,.good{{color:var(--good)}}.fail,.bad{{color:var(--bad)}}.unknown,.pending{{color:var(--doubt)}}
.n{{color:var(--dim);font-size:13px;margin:.2rem 0 .8rem}}.wide{{overflow-x:auto}}
table{{border-collapse:collapse;font-size:14px}}
td,th{{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top;
border-bottom:1px solid var(--rule);font-variant-numeric:tabular-nums}}th{{color:var(--dim);font-weight:600}}
td.r,th.r{{text-align:right}}td:not(:last-child){{white-space:nowrap}}
td:last-child:not(.r){{min-width:8rem}}td.words:not(:last-child){{white-space:normal;min-width:13rem}}
svg{{width:100%;height:auto;color:var(--ink)}}summary{{cursor:pointer;color:var(--dim)}}
.cards{{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem;margin:1rem 0}}
.cards div{{background:var(--soft);padding:.6rem .8rem;border-radius:6px}}
.cards b{{display:block;font-size:1.35rem;line-height:1.3}}.cards span{{color:var(--dim);font-size:13px}}
.three{{display:grid;grid-template-columns:repeat(3,1fr);gap:.5rem}}
@media(max-width:40rem){{.three{{grid-template-columns:1fr}}section{{overflow-x:auto}}section>svg,.wide>svg{{min-width:38rem}}section.broad>svg{{min-width:58rem}}
td:last-child:not(.r){{min-width:16rem}}}}
@media print{{:root{{{_LIGHT}}}body{{font-size:11px;margin:0;max-width:none}}
h2{{break-after:avoid}}svg,tr,.cards div{{break-inside:avoid}}
*{{print-color-adjust:exact;-webkit-print-color-adjust:exact}}}}"""


def head(title: str) -> str:
    """The beginning of a page; the title is escaped already."""
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{title}</title><style>{STYLE}</style></head><body>"
    )


FOOT = "</body></html>\n"
