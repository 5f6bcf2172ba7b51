//! Ridge regression of a few hundred cases on tens of factors: normal equations and Cholesky. [core]

use crate::model::sequence::real::{add_scaled, dot};

/// The normal equations of one shopper. Keeps its memory.
pub(super) struct Ridge {
    width: usize,
    /// λ + Σ weight·x·xᵀ, lower triangle, rows of the full width.
    matrix: Vec<f32>,
    /// Σ weight·label·x.
    right: Vec<f32>,
    /// The triangle L of L·Lᵀ.
    triangle: Vec<f64>,
    solution: Vec<f64>,
}

impl Ridge {
    pub(super) fn new(width: usize) -> Self {
        Ridge {
            width,
            matrix: vec![0.0; width * width],
            right: vec![0.0; width],
            triangle: vec![0.0; width * width],
            solution: vec![0.0; width],
        }
    }

    pub(super) fn start(&mut self, ridge: f64) {
        self.matrix.fill(0.0);
        self.right.fill(0.0);
        self.matrix.iter_mut().step_by(self.width + 1).for_each(|x| *x = ridge as f32);
    }

    pub(super) fn add(&mut self, x: &[f32], weight: f32, label: f32) {
        for (place, row) in self.matrix.chunks_exact_mut(self.width).enumerate() {
            add_scaled(&mut row[..=place], weight * x[place], &x[..=place]);
        }
        if label != 0.0 {
            add_scaled(&mut self.right, weight * label, x);
        }
    }

    /// As [`Ridge::add`] four times over, in one pass through the matrix.
    pub(super) fn add_four(&mut self, cases: [(&[f32], f32, f32); 4]) {
        let width = self.width;
        let [a, b, c, d] = cases.map(|(x, _, _)| &x[..width]);
        for (place, row) in self.matrix.chunks_exact_mut(width).enumerate() {
            let scales = cases.map(|(x, weight, _)| weight * x[place]);
            let seen = place + 1;
            let columns = a[..seen].iter().zip(&b[..seen]).zip(&c[..seen]).zip(&d[..seen]);
            for (sum, (((a, b), c), d)) in row[..seen].iter_mut().zip(columns) {
                *sum += (scales[0] * a + scales[1] * b) + (scales[2] * c + scales[3] * d);
            }
        }
        for (x, weight, label) in cases.into_iter().filter(|(_, _, label)| *label != 0.0) {
            add_scaled(&mut self.right, weight * label, x);
        }
    }

    /// Adds weight·`gram`, a full matrix.
    pub(super) fn add_gram(&mut self, gram: &[f32], weight: f32) {
        add_scaled(&mut self.matrix, weight, gram);
    }

    /// Solves. Where the matrix is not positive but for rounding, or a value not finite, the solution is zero.
    pub(super) fn solve(&mut self, out: &mut [f32]) {
        out.fill(0.0);
        if !self.factorise() {
            return;
        }
        let width = self.width;
        for place in 0..width {
            let row = &self.triangle[place * width..][..=place];
            let sum = dot(&row[..place], &self.solution[..place]);
            self.solution[place] = (f64::from(self.right[place]) - sum) / row[place];
        }
        for place in (0..width).rev() {
            let own = self.solution[place] / self.triangle[place * width + place];
            self.solution[place] = own;
            let row = &self.triangle[place * width..][..place];
            add_scaled(&mut self.solution[..place], -own, row);
        }
        out.iter_mut().zip(&self.solution).for_each(|(out, x)| *out = *x as f32);
    }

    fn factorise(&mut self) -> bool {
        let width = self.width;
        for place in 0..width {
            let (before, own) = self.triangle.split_at_mut(place * width);
            let own = &mut own[..width];
            for column in 0..place {
                let other = &before[column * width..][..=column];
                let sum = dot(&own[..column], &other[..column]);
                own[column] = (f64::from(self.matrix[place * width + column]) - sum) / other[column];
            }
            let square = f64::from(self.matrix[place * width + place]) - dot(&own[..place], &own[..place]);
            if !(square > 0.0 && square.is_finite()) {
                return false;
            }
            own[place] = square.sqrt();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_solution_solves_the_normal_equations() {
        let mut word = 1u64;
        let mut next = || {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (word >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        for width in [1, 3, 8, 17, 64] {
            let cases: Vec<(Vec<f32>, f32, f32)> =
                (0..2 * width).map(|_| ((0..width).map(|_| next()).collect(), 1.5, next())).collect();
            let mut ridge = Ridge::new(width);
            ridge.start(0.7);
            let (fours, rest) = cases.as_chunks::<4>();
            fours.iter().for_each(|four| ridge.add_four(four.each_ref().map(|(x, w, y)| (&x[..], *w, *y))));
            rest.iter().for_each(|(x, weight, label)| ridge.add(x, *weight, *label));
            let mut found = vec![0.0; width];
            ridge.solve(&mut found);
            // The derivative of Σ weight·(x·p − label)² + λ|p|² is 0 there.
            for place in 0..width {
                let slope = cases.iter().fold(0.7 * found[place], |sum, (x, weight, label)| {
                    sum + weight * (dot(x, &found) - label) * x[place]
                });
                assert!(slope.abs() < 1e-4, "{width}: {slope}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_solves_to_zero() {
        let mut ridge = Ridge::new(2);
        ridge.start(1.0);
        ridge.add(&[f32::NAN, 1.0], 1.0, 1.0);
        let mut found = [1.0; 2];
        ridge.solve(&mut found);
        assert_eq!(found, [0.0; 2]);
    }
}
