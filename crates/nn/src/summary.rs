//! The table of layers, output shapes and parameter counts.

use crate::params::Params;

/// One layer as built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRow {
    /// Scope path, e.g. `G/conv1`.
    pub path: String,
    /// What it is, e.g. `conv 64 5x5 stride 2`.
    pub layer: String,
    /// Shape of its output, batch first.
    pub output: Vec<usize>,
    /// Trainable scalars declared in its own scope.
    pub parameters: usize,
}

/// Digits in groups of three: 3576704 is `3,576,704`.
pub fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes with a binary unit: 14306816 is `13.6 MiB`; two decimals from 1 GiB on, where a tenth is a lot.
pub fn bytes(n: u64) -> String {
    let mut value = n as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{n} B"),
        "KiB" | "MiB" => format!("{value:.1} {unit}"),
        _ => format!("{value:.2} {unit}"),
    }
}

/// The shape with `N` for the batch axis: `[N, 28, 28, 1]`.
fn shape(output: &[usize]) -> String {
    let axes: Vec<String> = output
        .iter()
        .enumerate()
        .map(|(i, n)| if i == 0 { "N".to_string() } else { n.to_string() })
        .collect();
    format!("[{}]", axes.join(", "))
}

/// The layers as an aligned table, followed by the totals: trainable scalars, scalars in buffers, and bytes in f32.
pub fn table(rows: &[LayerRow], params: &Params) -> String {
    let mut cells = vec![["name".to_string(), "layer".into(), "output".into(), "parameters".into()]];
    cells.extend(
        rows.iter().map(|r| [r.path.clone(), r.layer.clone(), shape(&r.output), grouped(r.parameters)]),
    );
    let width = |i: usize| cells.iter().map(|c| c[i].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let mut out = String::new();
    for (i, [name, layer, output, parameters]) in cells.iter().enumerate() {
        let [a, b, c, d] = widths;
        out.push_str(&format!("{name:a$}  {layer:b$}  {output:c$}  {parameters:>d$}\n"));
        if i == 0 {
            out.push_str(&format!("{}\n", "-".repeat(a + b + c + d + 6)));
        }
    }
    let (trainable, buffers) = (params.count_trainable(), params.count_buffers());
    out.push_str(&format!("{} trainable parameters ({})", grouped(trainable), bytes(4 * trainable as u64)));
    if buffers > 0 {
        out.push_str(&format!(", {} in buffers ({})", grouped(buffers), bytes(4 * buffers as u64)));
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::Init;
    use crate::params::ParamSpec;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 12, 123, 1234, 3_576_704].map(grouped).join(" "), "0 12 123 1,234 3,576,704");
        assert_eq!([4, 2048, 14_306_816].map(bytes).join(" "), "4 B 2.0 KiB 13.6 MiB");
        assert_eq!([453 << 20, 5 << 28, 3 << 40].map(bytes).join(" "), "453.0 MiB 1.25 GiB 3.00 TiB");
    }

    #[test]
    fn columns_are_aligned_and_totals_stand_below() {
        let mut params = Params::new();
        params.push(ParamSpec::new("G/dense1/weight", &[100, 12], Init::Zeros, true)).unwrap();
        params.push(ParamSpec::new("G/norm/running_mean", &[12], Init::Zeros, false)).unwrap();
        let rows = [
            LayerRow {
                path: "G/dense1".into(),
                layer: "dense 12".into(),
                output: vec![8, 12],
                parameters: 1200,
            },
            LayerRow { path: "G/r".into(), layer: "reshape".into(), output: vec![8, 2, 6], parameters: 0 },
        ];
        let text = table(&rows, &params);
        let expected = "\
name      layer     output     parameters
-----------------------------------------
G/dense1  dense 12  [N, 12]         1,200
G/r       reshape   [N, 2, 6]           0
1,200 trainable parameters (4.7 KiB), 12 in buffers (48 B)
";
        assert_eq!(text, expected);
    }
}
