//! Images as a smallest one whose sides are doubled.

/// Height and width of the smallest image, and how often its sides are doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doubling {
    /// Height and width before the first doubling.
    pub base: [usize; 2],
    /// How many doublings follow.
    pub count: usize,
}

impl Doubling {
    /// Halves both sides while they are even and the smaller one keeps at least `least`. The smaller side of what is left
    /// must be below `2 least`: else an odd side stopped the halving, and layers that look at the whole smallest image
    /// would grow with it.
    pub fn of(sides: [usize; 2], least: usize) -> Result<Doubling, String> {
        let (mut base, mut count) = (sides, 0);
        while base.iter().all(|side| side.is_multiple_of(2)) && base.iter().all(|side| side / 2 >= least) {
            base = base.map(|side| side / 2);
            count += 1;
        }
        let smaller = base[0].min(base[1]);
        if (least..2 * least).contains(&smaller) {
            return Ok(Doubling { base, count });
        }
        Err(format!(
            "`data.shape`: images of {}x{} do not come from doubling a small one whose smaller side is {least} to {}, such as \
             {least}x{least} for {}x{}",
            sides[0],
            sides[1],
            2 * least - 1,
            8 * least,
            8 * least
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_halved_together_down_to_the_least() {
        for (sides, base, count) in [
            ([32, 32], [4, 4], 3),
            ([28, 28], [7, 7], 2),
            ([48, 64], [6, 8], 3),
            ([16, 256], [4, 64], 2),
            ([5, 5], [5, 5], 0),
        ] {
            let doubling = Doubling::of(sides, 4).unwrap();
            assert_eq!(doubling, Doubling { base, count }, "{sides:?}");
            assert_eq!(base.map(|side| side << count), sides);
        }
        for sides in [[50, 50], [3, 8], [0, 0], [100, 9]] {
            let message = Doubling::of(sides, 4).unwrap_err();
            assert!(message.contains("`data.shape`") && message.contains("4 to 7"), "{message}");
        }
    }
}
