//! Reports as one file that a browser shows: no scripts, no links to anything else, pictures inside.

mod draw;

use super::Examined;
use super::checks::Finding;
use super::compare::{Comparison, Difference, Verdict};
use super::looks::{self, Looks};
use super::report::{Better, Report, Score, figure};
use crate::checkpoint::write_atomically;
use crate::error::Error;
use crate::picture;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// Samples in a row of the grid.
const COLUMNS: usize = 16;

/// Text between tags.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// Adds text that is formatted; a string never fails to grow.
macro_rules! put {
    ($to:expr, $($text:tt)*) => { let _ = write!($to, $($text)*); };
}
use put;

const STYLE: &str = "
:root { --ink: #1d2433; --soft: #5b6475; --line: #e2e5ec; --paper: #fff; --back: #f5f6f9; --real: #7a8699; --made: #e2582a;
  --bad: #b3261e; --good: #1c7a4a; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 24px; margin: 0 0 2px; } h2 { font-size: 17px; margin: 0 0 12px; }
.from { color: var(--soft); margin: 0 0 20px; overflow-wrap: anywhere; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin: 0 0 18px; }
.verdict { border-left: 5px solid var(--good); } .verdict.bad { border-left-color: var(--bad); }
.verdict ul { margin: 6px 0 0; padding-left: 20px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; } th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.range { white-space: nowrap; } td.note { color: var(--soft); } .bad { color: var(--bad); font-weight: 600; } .good { color: var(--good); font-weight: 600; }
.wide { overflow-x: auto; } img { max-width: 100%; image-rendering: pixelated; border-radius: 4px; display: block; }
svg { max-width: 100%; height: auto; display: block; font: 12px system-ui, sans-serif; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 18px; } .two section { margin: 0; }
.two { margin-bottom: 18px; } figure { margin: 0; } figcaption { color: var(--soft); font-size: 12px; }
.pairs { display: flex; flex-wrap: wrap; gap: 12px; } .hint { color: var(--soft); font-size: 13px; margin: 10px 0 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 16px; margin: 0; font-size: 14px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
";

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <main>\n{body}</main>\n</body>\n</html>\n",
        escaped(title)
    )
}

/// A picture inside the file.
fn image(samples: &[f32], shape: &[usize], columns: usize, alt: &str) -> Result<String, Error> {
    let png = picture::png(picture::grid(samples, shape, columns))?;
    Ok(format!("<img alt=\"{}\" src=\"data:image/png;base64,{}\">", escaped(alt), STANDARD.encode(png)))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    write_atomically(path, text.as_bytes()).map_err(Error::io(path, "write the report"))
}

impl Examined {
    /// The report as a page.
    ///
    /// # Errors
    /// A picture that is too large to be one.
    pub fn html(&self) -> Result<String, Error> {
        let (report, looks) = (&self.report, &self.looks);
        let mut body = String::new();
        head(&mut body, "Scores", report);
        verdict(&mut body, report);
        samples(&mut body, looks, "Samples")?;
        scores(&mut body, &report.scores);
        findings(&mut body, &report.findings);
        pairs(&mut body, looks)?;
        pictures(&mut body, report, looks);
        provenance(&mut body, report);
        Ok(page(&format!("Scores of {}", report.source.path), &body))
    }

    /// Writes the page, whole or not at all.
    ///
    /// # Errors
    /// The file system's own.
    pub fn write_html(&self, path: &Path) -> Result<(), Error> {
        write(path, &self.html()?)
    }
}

impl Comparison {
    /// Writes the comparison as a page, whole or not at all.
    ///
    /// # Errors
    /// The file system's own.
    pub fn write_html(&self, path: &Path, first: &Looks, second: &Looks) -> Result<(), Error> {
        let mut body = String::new();
        put!(
            body,
            "<h1>Two compared</h1>\n<p class=\"from\">{} &nbsp;and&nbsp; {}</p>\n",
            escaped(&self.first.source.path),
            escaped(&self.second.source.path)
        );
        put!(body, "<section class=\"verdict\"><h2>{}</h2></section>\n", escaped(&self.sentence));
        differences(&mut body, self);
        for (name, report, looks) in [("First", &self.first, first), ("Second", &self.second, second)] {
            samples(&mut body, looks, &format!("{name}: {}", report.source.path))?;
            findings(&mut body, &report.findings);
            pictures(&mut body, report, looks);
            provenance(&mut body, report);
        }
        let title = format!("{} against {}", self.first.source.path, self.second.source.path);
        write(path, &page(&title, &body))
    }
}

fn head(body: &mut String, title: &str, report: &Report) {
    let step = report.source.step.map_or(String::new(), |step| format!(", step {step}"));
    put!(
        body,
        "<h1>{title}</h1>\n<p class=\"from\">{}{step}, against {} ({})</p>\n",
        escaped(&report.source.path),
        escaped(&report.data),
        report.split
    );
}

fn verdict(body: &mut String, report: &Report) {
    let faults: Vec<&Finding> = report.findings.iter().filter(|finding| finding.flagged).collect();
    if faults.is_empty() {
        let text = match report.findings.len() {
            0 if report.unchecked.is_empty() => "No check was asked for.".to_string(),
            0 => "No check could be made.".to_string(),
            n => format!("{n} checks found nothing wrong."),
        };
        put!(body, "<section class=\"verdict\"><h2>{text}</h2></section>\n");
        return;
    }
    let what =
        if faults.len() == 1 { "A check found something wrong" } else { "Checks found something wrong" };
    put!(body, "<section class=\"verdict bad\"><h2>{what}</h2><ul>");
    for fault in faults {
        put!(body, "<li>{}</li>", escaped(&fault.sentence));
    }
    put!(body, "</ul></section>\n");
}

fn samples(body: &mut String, looks: &Looks, title: &str) -> Result<(), Error> {
    if looks.shape.len() != 3 || looks.samples.is_empty() {
        return Ok(());
    }
    let picture = image(&looks.samples, &looks.shape, COLUMNS, "generated samples")?;
    put!(body, "<section><h2>{}</h2><div class=\"wide\">{picture}</div></section>\n", escaped(title));
    Ok(())
}

fn way(better: Better) -> &'static str {
    match better {
        Better::Lower => "lower is better",
        Better::Higher => "higher is better",
        Better::Neither => "",
    }
}

/// Seconds since 1970 as a date and a time in UTC.
fn moment(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

fn range([low, high]: [f64; 2]) -> String {
    format!("{} to {}", figure(low), figure(high))
}

fn scores(body: &mut String, scores: &[Score]) {
    if scores.is_empty() {
        return;
    }
    put!(
        body,
        "<section><h2>Scores</h2><div class=\"wide\"><table><tr><th>score</th><th class=\"n\">value</th>\
         <th>95 % interval</th><th></th></tr>"
    );
    for score in scores {
        let words: Vec<&str> =
            [way(score.better), &score.note].into_iter().filter(|w| !w.is_empty()).collect();
        put!(
            body,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"range\">{}</td><td class=\"note\">{}</td></tr>",
            escaped(&score.name),
            figure(score.value),
            score.interval.map_or(String::new(), range),
            escaped(&words.join("; "))
        );
    }
    put!(body, "</table></div></section>\n");
}

fn findings(body: &mut String, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    put!(
        body,
        "<section><h2>Checks</h2><div class=\"wide\"><table><tr><th>check</th><th class=\"n\">value</th>\
         <th class=\"n\">fault</th><th>what it means</th></tr>"
    );
    for finding in findings {
        let side = match finding.fault {
            super::checks::Fault::Above => "above",
            super::checks::Fault::Below => "below",
        };
        let class = if finding.flagged { "bad" } else { "good" };
        put!(
            body,
            "<tr><td><span class=\"{class}\">{}</span></td><td class=\"n\">{}</td>\
             <td class=\"n\" title=\"{}\">{side} {}</td><td>{}<br><span class=\"hint\">Threshold: {}.</span></td></tr>",
            escaped(finding.name),
            figure(finding.value),
            escaped(finding.reason),
            figure(finding.threshold),
            escaped(&finding.sentence),
            escaped(finding.reason)
        );
    }
    put!(body, "</table></div></section>\n");
}

fn pairs(body: &mut String, looks: &Looks) -> Result<(), Error> {
    if looks.pairs.is_empty() {
        return Ok(());
    }
    put!(body, "<section><h2>Nearest to training samples</h2><div class=\"pairs\">");
    for pair in &looks.pairs {
        let both = [&pair.images[0][..], &pair.images[1]].concat();
        let alt = format!("sample {} beside training sample {}", pair.generated, pair.training);
        put!(
            body,
            "<figure>{}<figcaption>{:.2} of usual</figcaption></figure>",
            image(&both, &looks.shape, 2, &alt)?,
            pair.ratio
        );
    }
    put!(
        body,
        "</div><p class=\"hint\">Each a generated sample (left) and the training sample that it is most like (right), \
         the most striking first: how far it is, over the distance of its fifth neighbour.</p></section>\n"
    );
    Ok(())
}

fn pictures(body: &mut String, report: &Report, looks: &Looks) {
    put!(body, "<div class=\"two\">");
    if let Some(curve) = &looks.curve {
        let mark = |what: &str| report.scores.iter().find(|s| s.name.starts_with(what)).map(|s| s.value);
        let point = mark("recall, k").zip(mark("precision, k"));
        put!(
            body,
            "<section><h2>Precision and recall</h2>{}<p class=\"hint\">Over {} cells of both sets' features, for every \
             weight between the two (Sajjadi et al. 2018), the mean of {} clusterings; grey: one half of the real samples against the other.</p></section>",
            draw::curve(curve, point),
            looks::CELLS,
            looks::CLUSTERINGS
        );
    }
    if let Some(scatter) = &looks.scatter {
        put!(
            body,
            "<section><h2>Features in the plane</h2>{}<p class=\"hint\">The two principal components of the real \
             samples, {:.0} % of their variance. Grey: real, orange: generated.</p></section>",
            draw::scatter(scatter),
            100.0 * scatter.explained
        );
    }
    put!(body, "</div>\n");
    if !looks.bars.is_empty() {
        put!(
            body,
            "<section><h2>Classes</h2><div class=\"wide\">{}</div><p class=\"hint\">Shares that the classifier sees. \
             Grey: real, orange: generated.</p></section>\n",
            draw::bars(&looks.bars)
        );
    }
}

fn provenance(body: &mut String, report: &Report) {
    let none = || "none".to_string();
    let extractor = report.extractor.as_ref().map_or_else(none, |e| {
        let accuracy = (e.accuracy.zip(e.accuracy_of))
            .map_or(String::new(), |(a, of)| format!(", {:.2} % of {} right", 100.0 * a, of.words()));
        format!("{}, {} features, BLAKE3 {}{accuracy}", e.name, e.dimensions, e.hash)
    });
    let count = |n: Option<usize>| n.map_or_else(none, |n| n.to_string());
    let rows = [
        ("program", report.program.to_string()),
        ("samples", format!("{}, {} of them", report.source.path, count(report.generated))),
        ("data", format!("{}, {} split, BLAKE3 {}", report.data, report.split, report.data_hash)),
        ("real samples", count(report.real)),
        ("seen by", extractor),
        ("quantization", report.quantization.to_string()),
        ("resizing", report.resizer.clone()),
        ("seed", report.seed.to_string()),
        ("made", format!("{}, in {:.1} s", moment(report.time_unix), report.seconds)),
    ];
    put!(body, "<section><h2>How this was made</h2><dl>");
    for (name, value) in rows {
        put!(body, "<dt>{name}</dt><dd>{}</dd>", escaped(&value));
    }
    for (name, reason) in report
        .skipped
        .iter()
        .map(|s| (s.metric, &s.reason))
        .chain(report.unchecked.iter().map(|u| (u.check, &u.reason)))
    {
        put!(body, "<dt>without {name}</dt><dd>{}</dd>", escaped(reason));
    }
    put!(body, "</dl></section>\n");
}

fn differences(body: &mut String, comparison: &Comparison) {
    put!(
        body,
        "<section><h2>Score by score</h2><div class=\"wide\"><table><tr><th>score</th><th class=\"n\">first</th>\
         <th class=\"n\">second</th><th class=\"n\">difference</th><th>95 % interval</th><th>better</th></tr>"
    );
    for Difference { name, first, second, difference, interval, better, verdict, .. } in
        &comparison.differences
    {
        let told = match verdict {
            Verdict::First => "<span class=\"good\">first</span>",
            Verdict::Second => "<span class=\"good\">second</span>",
            Verdict::Unclear => "cannot tell",
            Verdict::Neither => "",
        };
        put!(
            body,
            "<tr><td>{}<br><span class=\"hint\">{}</span></td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"range\">{}</td><td>{told}</td></tr>",
            escaped(name),
            way(*better),
            figure(*first),
            figure(*second),
            figure(*difference),
            interval.map_or(String::new(), range)
        );
    }
    put!(body, "</table></div></section>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_in_utc() {
        assert_eq!(moment(951_782_400), "2000-02-29T00:00:00Z");
    }

    #[test]
    fn what_names_hold_cannot_end_a_tag() {
        assert_eq!(escaped("a<b>&\"c"), "a&lt;b&gt;&amp;&quot;c");
        let page = page("</title><script>", "");
        assert!(!page.contains("<script>") && page.starts_with("<!doctype html>"));
    }
}
