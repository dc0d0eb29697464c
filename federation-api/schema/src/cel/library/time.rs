//! Parts of points in time and of spans.

use jiff::tz::TimeZone;

use super::super::value::{EvalError, Timestamp, Value};
use super::{Row, wrong};

pub(super) const TABLE: &[Row] = &[
    ("getFullYear", year),
    ("getMonth", month),
    ("getDayOfYear", day_of_year),
    ("getDayOfMonth", day_of_month),
    ("getDate", date),
    ("getDayOfWeek", day_of_week),
    ("getHours", hours),
    ("getMinutes", minutes),
    ("getSeconds", seconds),
    ("getMilliseconds", milliseconds),
];

type Out<'a> = Result<Value<'a>, EvalError>;

/// Seconds east of UTC at a point in time: `+01:30`, or a zone by name.
fn offset(zone: &str, at: Timestamp) -> Result<i64, EvalError> {
    let Some((hours, minutes)) = zone.split_once(':') else {
        if zone.is_empty() || zone == "UTC" {
            return Ok(0);
        }
        let found = TimeZone::get(zone).map_err(|_| EvalError::new(format!("unknown time zone {zone}")))?;
        let instant = jiff::Timestamp::from_second(at.seconds).map_err(|_| EvalError::new("timestamp overflow"))?;
        return Ok(i64::from(found.to_offset(instant).seconds()));
    };
    let number = |text: &str| {
        text.parse::<i64>().map_err(|_| EvalError::new(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours.abs() > 24 || !(0..60).contains(&minutes) {
        return Err(EvalError::new(format!("timezone offset minutes out of range [0, 59]: {zone}")));
    }
    Ok(hours * 3600 + if zone.starts_with('-') { -minutes * 60 } else { minutes * 60 })
}

fn part<'a>(args: &[Value<'a>], of: fn(super::super::value::Civil) -> i64) -> Out<'a> {
    let (time, east) = match args {
        [Value::Timestamp(time)] => (time, 0),
        [Value::Timestamp(time), Value::String(zone)] => (time, offset(zone, *time)?),
        _ => return wrong(),
    };
    Ok(Value::Int(of(time.civil(east))))
}

fn span<'a>(args: &[Value<'a>], nanos: i64, of: fn(super::super::value::Civil) -> i64) -> Out<'a> {
    match args {
        [Value::Duration(span)] => Ok(Value::Int(span / nanos)),
        _ => part(args, of),
    }
}

fn year<'a>(args: &[Value<'a>]) -> Out<'a> {
    part(args, |civil| civil.year)
}

fn month<'a>(args: &[Value<'a>]) -> Out<'a> {
    part(args, |civil| civil.month - 1)
}

fn day_of_year<'a>(args: &[Value<'a>]) -> Out<'a> {
    part(args, |civil| civil.day_of_year)
}

fn day_of_month<'a>(args: &[Value<'a>]) -> Out<'a> {
    part(args, |civil| civil.day - 1)
}

fn date<'a>(args: &[Value<'a>]) -> Out<'a> {
    part(args, |civil| civil.day)
}

fn day_of_week<'a>(args: &[Value<'a>]) -> Out<'a> {
    part(args, |civil| civil.weekday)
}

fn hours<'a>(args: &[Value<'a>]) -> Out<'a> {
    span(args, 3_600_000_000_000, |civil| civil.hour)
}

fn minutes<'a>(args: &[Value<'a>]) -> Out<'a> {
    span(args, 60_000_000_000, |civil| civil.minute)
}

fn seconds<'a>(args: &[Value<'a>]) -> Out<'a> {
    span(args, 1_000_000_000, |civil| civil.second)
}

fn milliseconds<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Duration(span)] => Ok(Value::Int(span / 1_000_000)),
        [Value::Timestamp(time)] => Ok(Value::Int(i64::from(time.nanos / 1_000_000))),
        [Value::Timestamp(time), Value::String(zone)] => {
            offset(zone, *time)?;
            Ok(Value::Int(i64::from(time.nanos / 1_000_000)))
        }
        _ => wrong(),
    }
}
