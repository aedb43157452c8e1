"""How the page of a run looks: on a screen, bright or dark, on a phone, and on paper. It names classes and needs nothing from elsewhere."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--ink:#1b1f24;--soft:#57606a;--edge:#d0d7de;--card:#f6f8fa;--left:#0a5cad;--fill:#0a5cad33;
--quiet:#a33c00;--bar:#8a1c6b;--true:#3d444d}
@media screen and (prefers-color-scheme:dark){:root{--bg:#0f1318;--ink:#e8ecf1;--soft:#a3adb8;--edge:#39424d;--card:#191f27;
--left:#6cb6ff;--fill:#6cb6ff3d;--quiet:#ff9b57;--bar:#f08bd0;--true:#c3ccd6}}
@media print{figure,table,.row{break-inside:avoid}h2,h3{break-after:avoid}}*{box-sizing:border-box;print-color-adjust:exact}
body{margin:0 auto;padding:1rem;max-width:60rem;background:var(--bg);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0}h2{font-size:1.3rem;margin:2.2rem 0 .3rem}h3{font-size:1rem;margin:1.2rem 0 0}
p{margin:.4rem 0}.lead{font-size:1.2rem}.soft,figcaption,.name{color:var(--soft)}.name{font-weight:normal;font-size:.85rem}
.three{display:grid;grid-template-columns:repeat(3,1fr);gap:.6rem;margin:1rem 0}
.three div,.map{background:var(--card);border:1px solid var(--edge);border-radius:.5rem}.three div{padding:.6rem}
.three b{display:block;font-size:clamp(1.2rem,5vw,2.2rem);line-height:1.2}.three p{font-size:.9rem;margin:.2rem 0}
.three svg{display:block;margin:.3rem 0}.note{border-left:4px solid var(--quiet);padding:.2rem .8rem;background:var(--card)}
figure{margin:.6rem 0}figcaption p{color:var(--ink);margin:.7rem 0}.map{display:block;width:100%}.defs{position:absolute}
.plane *{vector-effect:non-scaling-stroke}.track{fill:none;stroke:var(--true);stroke-width:2.5}
.silent{fill:none;stroke:var(--quiet);stroke-width:6;stroke-dasharray:7 4}.denied{fill:none;stroke:var(--bar);
stroke-width:6;stroke-dasharray:2 4}.cell{fill:var(--fill);stroke:var(--left);stroke-width:1.5}
.exact{fill:var(--left);stroke:var(--bg);stroke-width:2}.mark{fill:var(--bg);stroke:var(--ink);stroke-width:3}
text{font:13px system-ui,sans-serif;fill:var(--ink);stroke:var(--card);stroke-width:4px;stroke-linejoin:round;paint-order:stroke}
.order{font-weight:700;fill:var(--left);text-anchor:middle}.bar{stroke:var(--ink);stroke-width:2}
.legend{list-style:none;padding:0;margin:.5rem 0;display:flex;flex-wrap:wrap;gap:.2rem 1.4rem}
.legend li{display:flex;gap:.5rem;margin:.1rem 0}.legend svg{flex:none;margin-top:.2rem}
.row{margin:.7rem 0 0}.row p{margin:0;font-size:.9rem}.strip,.axis{display:block;overflow:visible}.strip{background:var(--card)}
.axis text{stroke:none;font-size:12px}.speed{fill:none;stroke:var(--true);stroke-width:2}.dot{fill:var(--left);stroke:var(--bg)}
.tick{stroke:var(--left);stroke-width:4}.fillleft{fill:var(--left)}.fillall{fill:var(--edge)}.trim{fill:url(#trim)}
.parked,.driving{fill:url(#parked)}.barred{fill:url(#barred)}.strip .word{font-size:12px}.trimline{stroke:var(--quiet);stroke-width:3}
.parkedline{stroke:var(--soft);stroke-width:1.5;opacity:.7}.barredline{stroke:var(--bar);stroke-width:1.5;opacity:.6}
table{width:100%;table-layout:fixed;border-collapse:collapse;margin:.4rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .5rem;border-bottom:1px solid var(--edge);font-size:.93rem;overflow-wrap:anywhere}
th{color:var(--soft)}td:nth-child(3){color:var(--left);font-weight:600}th:nth-child(1){width:25%}th:nth-child(3){width:30%}
th:nth-child(4){width:11%}.quiet{fill:var(--quiet)}.no{fill:var(--bar)}li{margin:.35rem 0}.plain{padding-left:1.1rem}
li,p,h3{overflow-wrap:anywhere}
@media (min-width:48rem){.pair{display:grid;grid-template-columns:3fr 2fr;gap:1.2rem;align-items:start}}
@media (max-width:36rem){thead{display:none}tr{display:block;border-bottom:1px solid var(--edge);padding:.3rem 0}
td{display:flex;gap:.6rem;border:0;padding:.1rem 0}td::before{content:attr(data-is);flex:0 0 6.2rem;color:var(--soft);font-weight:400}
.lead{font-size:1.1rem}.three div{padding:.45rem}.three p{font-size:.8rem}}
"""
