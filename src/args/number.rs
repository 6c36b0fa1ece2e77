//! Numbers, refused in words of their own: those of the standard library are for programmers.

use std::ops::RangeInclusive;

/// Beyond this an end of a range is that of a type, which nobody needs to know.
const WORTH_TELLING: i128 = u32::MAX as i128;

/// A parser of numbers in this range.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: Copy + Into<i128> + TryFrom<i128>,
{
    let (least, most): (i128, i128) = ((*range.start()).into(), (*range.end()).into());
    move |text| {
        let number: Option<i128> = text.parse().ok();
        let fits = number.filter(|n| (least..=most).contains(n)).and_then(|n| T::try_from(n).ok());
        // Digits may be too many for any type.
        let too_large = number.map_or(!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()), |n| n > most);
        fits.ok_or_else(|| match (least < -WORTH_TELLING, most < WORTH_TELLING || too_large) {
            (false, true) => format!("give a number from {least} to {most}"),
            (false, false) => format!("give a number from {least} on"),
            (true, true) => format!("give a number up to {most}"),
            (true, false) => "give a number".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_of_the_range_is_told_the_range() {
        let refused = |text: &str, why: &str| assert_eq!(number(1..=256_u16)(text), Err(why.to_owned()), "{text}");
        for text in ["0", "257", "-1", "", "x", "1.5", " 1", "99999999999999999999999999999999999999999999"] {
            refused(text, "give a number from 1 to 256");
        }
        assert_eq!((number(1..=256_u16)("1"), number(1..=256_u16)("256")), (Ok(1), Ok(256)));
        let any = number(0..=u32::MAX);
        assert_eq!(any("-1"), Err("give a number from 0 on".to_owned()));
        assert_eq!(any("4294967296"), Err("give a number from 0 to 4294967295".to_owned()));
        assert_eq!(any("4294967295"), Ok(u32::MAX));
        assert_eq!(number(-1..=i64::MAX)("-2"), Err("give a number from -1 on".to_owned()));
        assert_eq!(number(i64::MIN..=i64::MAX)("x"), Err("give a number".to_owned()));
        let digits = "9".repeat(44);
        assert_eq!(any(&digits), Err("give a number from 0 to 4294967295".to_owned()));
        assert_eq!(number(i64::MIN..=i64::MAX)(&digits), Err(format!("give a number up to {}", i64::MAX)));
        assert_eq!(number(i64::MIN..=i64::MAX)("-5"), Ok(-5));
    }
}
