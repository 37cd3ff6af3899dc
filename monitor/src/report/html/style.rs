//! Colours and layout.

/// A colour in light and in dark.
pub(super) struct Ink {
    pub(super) name: &'static str,
    pub(super) light: u32,
    pub(super) dark: u32,
}

const fn ink(name: &'static str, light: u32, dark: u32) -> Ink {
    Ink { name, light, dark }
}

/// What text stands on.
pub(super) const GROUNDS: [Ink; 2] = [
    ink("ground", 0xff_ff_ff, 0x0f_14_19),
    ink("raised", 0xf3_f5_f8, 0x1a_21_29),
];

/// What text is written in: each has a contrast of 4.5 or more on every ground (WCAG 2.2, 1.4.3).
pub(super) const TEXTS: [Ink; 5] = [
    ink("text", 0x1b_1f_24, 0xe6_ed_f3),
    ink("dim", 0x50_59_63, 0xa3_ad_b8),
    ink("good", 0x0f_5c_26, 0x5b_d0_81),
    ink("doubt", 0x7a_46_00, 0xf0_b4_29),
    ink("bad", 0xa8_1f_17, 0xff_8f_85),
];

/// What lines and bars are drawn in: 3 or more beside the ground where they carry meaning (1.4.11).
pub(super) const SHAPES: [Ink; 1] = [ink("accent", 0x1f_5f_a8, 0x6c_b2_f7)];

/// What only decorates.
const LINES: [Ink; 1] = [ink("edge", 0xd0_d7_de, 0x35_3f_4a)];

const LAYOUT: &str = "
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.2rem;margin:2.5rem 0 .6rem;padding-top:.6rem;border-top:1px solid var(--edge)}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
p{margin:.3rem 0;max-width:52rem}
ul{margin:.3rem 0;padding-left:1.2rem}
a{color:var(--accent)}
nav ul{display:flex;flex-wrap:wrap;gap:.3rem 1rem;list-style:none;padding:0;margin:1rem 0 0}
code{font:.9em ui-monospace,monospace}
.dim{color:var(--dim)}.good{color:var(--good)}.doubt{color:var(--doubt)}.bad{color:var(--bad);font-weight:600}
.score{display:flex;flex-wrap:wrap;align-items:center;gap:1rem 2rem;background:var(--raised);border:1px solid \
var(--edge);border-radius:.6rem;padding:1rem 1.2rem;margin:1.2rem 0}
.points{font-size:3rem;line-height:1;font-weight:700;margin:0}
.of{font-size:1rem;font-weight:400;color:var(--dim)}
.wide{overflow-x:auto;margin:.5rem 0;border:1px solid var(--edge);border-radius:.4rem}
.wide:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.45rem .7rem;border-bottom:1px solid var(--edge);min-width:8rem;\
overflow-wrap:break-word}
td.dim{min-width:14rem}td code{overflow-wrap:anywhere}
thead th{background:var(--raised);color:var(--dim);font-weight:600}
tbody tr:last-child>*{border-bottom:0}
td.n,th.n{text-align:right;min-width:4rem;white-space:nowrap}
.bar{display:block;width:100%;min-width:6rem;height:.5rem;margin-top:.5rem}
.track{fill:var(--edge)}.fill{fill:var(--accent)}
.line{display:block;width:15rem;max-width:100%;height:3rem}
.line polyline{fill:none;stroke:var(--accent);stroke-width:2}
footer{margin-top:3rem;color:var(--dim);font-size:.9rem}
@media print{:root{color-scheme:light}main{max-width:none;padding:0}nav{display:none}body{font-size:11pt}
.wide{overflow:visible}h2,h3{break-after:avoid}tr{break-inside:avoid}}
";

/// The whole style sheet.
pub(super) fn sheet() -> String {
    let all = || GROUNDS.iter().chain(&TEXTS).chain(&SHAPES).chain(&LINES);
    let root = |pick: fn(&Ink) -> u32| -> String {
        let each = all().map(|ink| format!("--{}:#{:06x};", ink.name, pick(ink)));
        each.collect()
    };
    let (light, dark) = (root(|ink| ink.light), root(|ink| ink.dark));
    format!(
        ":root{{color-scheme:light dark;{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{LAYOUT}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.2, relative luminance.
    fn luminance(rgb: u32) -> f64 {
        let channel = |shift: u32| {
            let value = f64::from(rgb >> shift & 0xff) / 255.0;
            if value <= 0.040_45 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
    }

    fn contrast(a: u32, b: u32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn contrast_is_enough_in_light_and_dark() {
        assert!((contrast(0xff_ff_ff, 0) - 21.0).abs() < 0.01);
        for ground in &GROUNDS {
            for (inks, least) in [(&TEXTS[..], 4.5), (&SHAPES[..], 4.5)] {
                for ink in inks {
                    for (a, b) in [(ink.light, ground.light), (ink.dark, ground.dark)] {
                        let found = contrast(a, b);
                        assert!(
                            found >= least,
                            "{} on {}: {found:.2}",
                            ink.name,
                            ground.name
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn fetches_nothing() {
        let sheet = sheet();
        for word in ["url(", "@import", "http", "@font-face", "</"] {
            assert!(!sheet.contains(word), "{word}");
        }
    }
}
