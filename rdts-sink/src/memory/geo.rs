//! Geo indexes: sorted sets whose scores are geohashes of 52 bits.

use super::args::Args;
use super::context::Context;
use super::error::{CommandError, CommandErrorKind, Result};
use super::number;
use super::reply::Reply;
use super::zset::SortedSet;
use super::zset_commands;

const LONGITUDE: (f64, f64) = (-180.0, 180.0);
/// The latitudes of Web Mercator (EPSG:3857).
const LATITUDE: (f64, f64) = (-85.051_128_78, 85.051_128_78);
const STEPS: u32 = 26;
const EARTH_RADIUS_M: f64 = 6_372_797.560_856;

/// A place, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Place {
    longitude: f64,
    latitude: f64,
}

impl Place {
    fn parse(args: &mut Args<'_>) -> Result<Self> {
        let place = Self { longitude: args.double()?, latitude: args.double()? };
        let within = |value, (min, max)| (min..=max).contains(&value);
        if within(place.longitude, LONGITUDE) && within(place.latitude, LATITUDE) {
            Ok(place)
        } else {
            let (longitude, latitude) = (place.longitude, place.latitude);
            Err(CommandError::invalid(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}")))
        }
    }

    /// The geohash: bits of latitude and longitude in turns, the lowest one latitude's.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 2^26 by construction
    fn hash(self) -> u64 {
        let scale = |value, (min, max): (f64, f64)| ((value - min) / (max - min) * f64::from(1_u32 << STEPS)) as u32;
        spread(scale(self.latitude, LATITUDE)) | spread(scale(self.longitude, LONGITUDE)) << 1
    }

    /// The middle of the cell.
    fn from_hash(hash: u64) -> Self {
        let middle = |cell: u32, (min, max): (f64, f64)| {
            let edge = |n: f64| min + n / f64::from(1_u32 << STEPS) * (max - min);
            ((edge(f64::from(cell)) + edge(f64::from(cell) + 1.0)) / 2.0).clamp(min, max)
        };
        Self { longitude: middle(gather(hash >> 1), LONGITUDE), latitude: middle(gather(hash), LATITUDE) }
    }

    /// Metres, on a sphere.
    fn distance(self, other: Self) -> f64 {
        let half_longitude = ((other.longitude.to_radians() - self.longitude.to_radians()) / 2.0).sin();
        if half_longitude == 0.0 {
            return self.distance_by_latitude(other);
        }
        let (from, to) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_latitude = ((to - from) / 2.0).sin();
        let a = half_latitude * half_latitude + from.cos() * to.cos() * half_longitude * half_longitude;
        2.0 * EARTH_RADIUS_M * a.sqrt().asin()
    }

    fn distance_by_latitude(self, other: Self) -> f64 {
        EARTH_RADIUS_M * (other.latitude.to_radians() - self.latitude.to_radians()).abs()
    }
}

/// Puts a zero between all bits.
fn spread(bits: u32) -> u64 {
    (0..32).fold(0, |spread, n| spread | u64::from(bits >> n & 1) << (2 * n))
}

/// Takes every second bit.
fn gather(bits: u64) -> u32 {
    (0..32).fold(0, |gathered, n| gathered | u32::from(bits >> (2 * n) & 1 == 1) << n)
}

/// The geohash in a score; `None` for scores that are none.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn hash_of(score: f64) -> Option<u64> {
    (0.0..4_503_599_627_370_496.0).contains(&score).then_some(score as u64)
}

/// `GEOADD key [NX | XX] [CH] longitude latitude member …`. Primaries put a `ZADD` in the stream.
pub(super) fn geoadd(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let mut zadd = vec![args.next()?];
    while args
        .peek()
        .is_some_and(|arg| [&b"NX"[..], b"XX", b"CH"].iter().any(|option| arg.eq_ignore_ascii_case(option)))
    {
        zadd.push(args.next()?);
    }
    let (triples, rest) = args.rest().as_chunks::<3>();
    if triples.is_empty() || !rest.is_empty() {
        return Err(CommandError::syntax());
    }
    let mut scores = Vec::with_capacity(triples.len());
    for triple in triples {
        scores.push(Place::parse(&mut Args::new(args.name(), triple))?.hash().to_string());
    }
    for (score, [_, _, member]) in scores.iter().zip(triples) {
        zadd.extend([score.as_bytes(), *member]);
    }
    zset_commands::zadd(cx, &mut Args::new(args.name(), &zadd))
}

/// Where to look.
enum Shape {
    /// Metres.
    Radius(f64),
    /// Width and height in metres.
    Box(f64, f64),
}

/// A length's unit in metres.
fn unit(args: &mut Args<'_>) -> Result<f64> {
    let units = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let found = units.into_iter().find(|(name, _)| args.keyword(name));
    found
        .map(|(_, metres)| metres)
        .ok_or_else(|| CommandError::invalid("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

fn length(args: &mut Args<'_>) -> Result<f64> {
    let length = number::double(args.next()?).ok_or_else(|| CommandError::invalid("ERR need numeric radius"))?;
    if length < 0.0 { Err(CommandError::invalid("ERR radius cannot be negative")) } else { Ok(length) }
}

struct Search {
    centre: Place,
    shape: Shape,
    unit: f64,
    /// How many, the nearest or, `descending`, the farthest.
    count: Option<usize>,
    descending: bool,
}

impl Search {
    fn distance(&self, place: Place) -> Option<f64> {
        match self.shape {
            Shape::Radius(metres) => Some(self.centre.distance(place)).filter(|distance| *distance <= metres),
            Shape::Box(width, height) => {
                let along = Place { longitude: self.centre.longitude, ..place };
                let within =
                    self.centre.distance_by_latitude(place) <= height / 2.0 && place.distance(along) <= width / 2.0;
                within.then(|| self.centre.distance(place))
            }
        }
    }

    /// Stores what lies within the shape, with geohashes or, `by_distance`, distances as scores.
    fn store(&self, cx: &mut Context<'_>, source: &[u8], destination: &[u8], by_distance: bool) -> Result<Reply> {
        let mut found: Vec<(f64, Vec<u8>, f64)> = Vec::new();
        for (member, score) in cx.db().get::<SortedSet>(source)?.into_iter().flat_map(SortedSet::iter) {
            let place = hash_of(score).map(Place::from_hash);
            if let Some(distance) = place.and_then(|place| self.distance(place)) {
                found.push((distance / self.unit, member.to_vec(), score));
            }
        }
        if let Some(count) = self.count.filter(|count| *count < found.len()) {
            found.sort_by(|a, b| if self.descending { b.0.total_cmp(&a.0) } else { a.0.total_cmp(&b.0) });
            if found[count - 1].0.total_cmp(&found[count].0).is_eq() {
                return Err(CommandError::unsupported(
                    b"COUNT",
                    "which of several equally distant members come first is not defined",
                ));
            }
            found.truncate(count);
        }
        let mut result = SortedSet::default();
        for (distance, member, score) in &found {
            result.insert(member, if by_distance { *distance } else { *score });
        }
        cx.db().store(destination, result);
        Ok(Reply::count(found.len()))
    }
}

/// `COUNT n`; `ANY` takes whichever a server meets first.
fn count(args: &mut Args<'_>) -> Result<usize> {
    let count = args.integer()?;
    if args.keyword("ANY") {
        return Err(CommandError::unsupported(b"COUNT ANY", "which members a server meets first is not defined"));
    }
    usize::try_from(count).ok().filter(|n| *n > 0).ok_or_else(|| CommandError::invalid("ERR COUNT must be > 0"))
}

fn place_of_member(cx: &mut Context<'_>, key: &[u8], member: &[u8]) -> Result<Option<Place>> {
    let Some(zset) = cx.db().get::<SortedSet>(key)? else {
        return Ok(None);
    };
    let missing = || CommandError::new(CommandErrorKind::NotFound, "ERR could not decode requested zset member");
    let hash = hash_of(zset.score(member).ok_or_else(missing)?);
    let hash = hash.ok_or_else(|| CommandError::unsupported(b"this geo search", "the member's score is no geohash"))?;
    Ok(Some(Place::from_hash(hash)))
}

/// `GEORADIUS key longitude latitude radius unit [COUNT n] [ASC | DESC] STORE|STOREDIST destination`
pub(super) fn georadius(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let source = args.next()?;
    cx.db().get::<SortedSet>(source)?;
    let centre = Place::parse(args)?;
    around(cx, args, source, Some(centre))
}

/// `GEORADIUSBYMEMBER key member radius unit [COUNT n] [ASC | DESC] STORE|STOREDIST destination`
pub(super) fn georadiusbymember(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (source, member) = (args.next()?, args.next()?);
    let centre = place_of_member(cx, source, member)?;
    around(cx, args, source, centre)
}

/// The rest of both; no centre means that the source does not exist, so that the result is empty.
fn around(cx: &mut Context<'_>, args: &mut Args<'_>, source: &[u8], centre: Option<Place>) -> Result<Reply> {
    let (radius, unit) = (length(args)?, unit(args)?);
    let (mut limit, mut descending, mut destination) = (None, false, None);
    while args.left() > 0 {
        if args.keyword("ASC") {
            descending = false;
        } else if args.keyword("DESC") {
            descending = true;
        } else if args.keyword("COUNT") {
            limit = Some(count(args)?);
        } else if args.keyword("STORE") {
            destination = Some((args.next()?, false));
        } else if args.keyword("STOREDIST") {
            destination = Some((args.next()?, true));
        } else {
            return Err(CommandError::syntax());
        }
    }
    let Some((destination, by_distance)) = destination else {
        return Err(CommandError::unsupported(args.name(), "without STORE it changes nothing"));
    };
    let Some(centre) = centre else {
        cx.db().remove(destination);
        return Ok(Reply::Integer(0));
    };
    let search = Search { centre, shape: Shape::Radius(radius * unit), unit, count: limit, descending };
    search.store(cx, source, destination, by_distance)
}

/// `GEOSEARCHSTORE destination source FROMMEMBER member|FROMLONLAT longitude latitude BYRADIUS radius unit|BYBOX width height unit
/// [ASC | DESC] [COUNT n] [STOREDIST]`
pub(super) fn geosearchstore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Reply> {
    let (destination, source) = (args.next()?, args.next()?);
    cx.db().get::<SortedSet>(source)?;
    let (mut centre, mut shape, mut limit, mut descending, mut by_distance) = (None, None, None, false, false);
    while args.left() > 0 {
        if args.keyword("ASC") {
            descending = false;
        } else if args.keyword("DESC") {
            descending = true;
        } else if args.keyword("STOREDIST") {
            by_distance = true;
        } else if args.keyword("COUNT") {
            limit = Some(count(args)?);
        } else if centre.is_none() && args.keyword("FROMLONLAT") {
            centre = Some(Some(Place::parse(args)?));
        } else if centre.is_none() && args.keyword("FROMMEMBER") {
            centre = Some(place_of_member(cx, source, args.next()?)?);
        } else if shape.is_none() && args.keyword("BYRADIUS") {
            let (radius, unit) = (length(args)?, unit(args)?);
            shape = Some((Shape::Radius(radius * unit), unit));
        } else if shape.is_none() && args.keyword("BYBOX") {
            let (width, height, unit) = (length(args)?, length(args)?, unit(args)?);
            shape = Some((Shape::Box(width * unit, height * unit), unit));
        } else if args.keyword("BYPOLYGON") {
            return Err(CommandError::unsupported(b"GEOSEARCHSTORE BYPOLYGON", "polygons are not known here"));
        } else {
            return Err(CommandError::syntax());
        }
    }
    let (Some(centre), Some((shape, unit))) = (centre, shape) else {
        return Err(CommandError::invalid(
            "ERR exactly one of FROMMEMBER or FROMLONLAT, and one of BYRADIUS and BYBOX, must be specified for geosearchstore",
        ));
    };
    let Some(centre) = centre else {
        cx.db().remove(destination);
        return Ok(Reply::Integer(0));
    };
    Search { centre, shape, unit, count: limit, descending }.store(cx, source, destination, by_distance)
}
