//! Printing that cannot panic: a reader that has gone (`ganymede recipes | head`) or a full disk behind `>` is an error
//! like any other.

/// A line on standard output; the caller decides what a failure means.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        writeln!(std::io::stdout(), $($text)*)
            .map_err(|e| std::io::Error::new(e.kind(), format!("cannot write to standard output: {e}")))
    }};
}

/// A line on standard error. Where even that is closed, nobody can be told.
macro_rules! complain {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

/// A line on standard output that a run does not end for.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

pub(crate) use {complain, say, tell};
