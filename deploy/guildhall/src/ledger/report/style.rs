//! How the page looks: on a screen, light or dark, and on paper. [core]

/// The page's style sheet.
pub const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#16191d;--paper:#fff;--soft:#5a6470;--line:#d5dae0;--fill:#2f6fb3;--warn:#a3271b;--good:#1c6b3a;--band:#f3f5f8}\
@media (prefers-color-scheme:dark){:root{--ink:#e8eaed;--paper:#15181c;--soft:#a3adb8;--line:#394049;--fill:#6aa7e6;--warn:#ff9185;--good:#7fd6a0;--band:#1d2127}}\
*{box-sizing:border-box}\
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:60rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2.25rem 0 .5rem}h3{font-size:1rem;margin:1.25rem 0 .25rem}\
p{margin:.4rem 0;max-width:48rem}.soft{color:var(--soft)}.verdict{font-weight:600}.bad{color:var(--warn)}.good{color:var(--good)}\
.missing{border-left:4px solid var(--warn);padding:.25rem .75rem;background:var(--band)}\
.scroll{overflow-x:auto}table{border-collapse:collapse;margin:.75rem 0;font-size:.86rem;min-width:50%}\
th,td{border-bottom:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top}\
.long{overflow-wrap:anywhere;min-width:9rem}\
th{font-weight:600;background:var(--band)}\
svg{display:block;width:100%;max-width:45rem;height:auto;margin:.5rem 0}svg text{fill:var(--soft);font:12px system-ui,sans-serif}\
.grid{stroke:var(--line)}.area{fill:var(--fill);fill-opacity:.25;stroke:var(--fill)}.bar{fill:var(--fill)}.limit{stroke:var(--warn);stroke-width:2;stroke-dasharray:6 4}\
footer{margin-top:3rem;border-top:1px solid var(--line);padding-top:.75rem}\
@media print{body{max-width:none;padding:0;font-size:10pt}:root{--ink:#000;--paper:#fff;--soft:#333;--line:#999;--fill:#2f6fb3;--warn:#a3271b;--good:#1c6b3a;--band:#fff}\
section{break-inside:auto}h2,h3{break-after:avoid}svg,tr{break-inside:avoid}.scroll{overflow:visible}table{font-size:7.5pt}}";
