//! Which key a request is for.

use fastrand::Rng;

use crate::args::Distribution;

/// The exponent of YCSB's zipfian choice.
const ZIPF_EXPONENT: f64 = 0.99;

/// Chooses keys, as numbers below the size of the key space.
#[derive(Debug, Clone)]
pub(super) struct Picker {
    keys: u64,
    how: How,
}

#[derive(Debug, Clone)]
enum How {
    Uniform,
    Sequential,
    Zipf(Zipf),
    /// Each key once in every round, in an order that looks random: `index * step mod keys`.
    Once {
        step: u64,
    },
}

impl Picker {
    /// Keys as the flags want them.
    pub(super) fn new(keys: u64, distribution: Distribution) -> Self {
        let how = match distribution {
            Distribution::Uniform => How::Uniform,
            Distribution::Sequential => How::Sequential,
            Distribution::Zipf => How::Zipf(Zipf::new(keys, ZIPF_EXPONENT)),
        };
        Self { keys, how }
    }

    /// Each key once, as the index of the request goes through the key space.
    pub(super) fn once(keys: u64, distribution: Distribution) -> Self {
        if distribution == Distribution::Sequential {
            return Self { keys, how: How::Sequential };
        }
        // Near the golden ratio the order jumps about; without a common divisor it meets every key.
        let mut step = ((keys as f64 * 0.618_033_988_75) as u64).max(1);
        while greatest_common_divisor(step, keys) != 1 {
            step += 1;
        }
        Self { keys, how: How::Once { step } }
    }

    /// The key of the request with this index.
    pub(super) fn key(&self, index: u64, rng: &mut Rng) -> u64 {
        match &self.how {
            How::Uniform => rng.u64(..self.keys),
            How::Sequential => index % self.keys,
            How::Zipf(zipf) => zipf.rank(rng) - 1,
            How::Once { step } => (u128::from(index) * u128::from(*step) % u128::from(self.keys)) as u64,
        }
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Ranks from 1 on, where rank `k` comes with a probability proportional to `1 / k^s`.
///
/// Rejection-inversion (Hörmann and Derflinger, 1996): no table, and about one try for each rank.
#[derive(Debug, Clone)]
struct Zipf {
    s: f64,
    ranks: f64,
    low: f64,
    high: f64,
    cut: f64,
}

impl Zipf {
    /// `s` is above 0 and not 1.
    fn new(ranks: u64, s: f64) -> Self {
        let mut zipf = Self { s, ranks: ranks as f64, low: 0.0, high: 0.0, cut: 0.0 };
        zipf.low = zipf.integral(1.5) - 1.0;
        zipf.high = zipf.integral(zipf.ranks + 0.5);
        zipf.cut = 2.0 - zipf.inverse(zipf.integral(2.5) - 2f64.powf(-s));
        zipf
    }

    /// The integral of `x^-s`.
    fn integral(&self, x: f64) -> f64 {
        (x.powf(1.0 - self.s) - 1.0) / (1.0 - self.s)
    }

    fn inverse(&self, y: f64) -> f64 {
        (1.0 + y * (1.0 - self.s)).powf(1.0 / (1.0 - self.s))
    }

    fn rank(&self, rng: &mut Rng) -> u64 {
        loop {
            let u = self.high + rng.f64() * (self.low - self.high);
            let x = self.inverse(u);
            let k = x.round().clamp(1.0, self.ranks);
            if k - x <= self.cut || u >= self.integral(k + 0.5) - k.powf(-self.s) {
                return k as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(picker: &Picker, keys: usize, requests: u64) -> Vec<u64> {
        let mut rng = Rng::with_seed(7);
        let mut counts = vec![0; keys];
        for index in 0..requests {
            counts[picker.key(index, &mut rng) as usize] += 1;
        }
        counts
    }

    #[test]
    fn uniform_keys_come_about_equally_often() {
        let counts = counts(&Picker::new(50, Distribution::Uniform), 50, 100_000);
        assert!(counts.iter().all(|&n| (1700..2300).contains(&n)), "{counts:?}");
    }

    #[test]
    fn zipfian_keys_come_as_often_as_their_rank_says() {
        let counts = counts(&Picker::new(1000, Distribution::Zipf), 1000, 1_000_000);
        let sum: f64 = (1..=1000).map(|k| f64::from(k).powf(-ZIPF_EXPONENT)).sum();
        for k in [1_usize, 2, 3, 10, 100, 500] {
            let expected = 1e6 * (k as f64).powf(-ZIPF_EXPONENT) / sum;
            let got = counts[k - 1] as f64;
            assert!((got - expected).abs() < 6.0 * expected.sqrt(), "rank {k}: {got}, not {expected}");
        }
    }

    #[test]
    fn a_key_space_of_one_key_is_one_key() {
        for distribution in [Distribution::Uniform, Distribution::Zipf, Distribution::Sequential] {
            assert_eq!(counts(&Picker::new(1, distribution), 1, 100), [100]);
            assert_eq!(counts(&Picker::once(1, distribution), 1, 100), [100]);
        }
    }

    #[test]
    fn every_key_comes_once_where_that_is_wanted() {
        for keys in [2, 3, 10, 97, 1000, 1024] {
            for distribution in [Distribution::Uniform, Distribution::Zipf, Distribution::Sequential] {
                let picker = Picker::once(keys, distribution);
                assert_eq!(counts(&picker, keys as usize, keys), vec![1; keys as usize], "{keys}");
            }
        }
    }
}
