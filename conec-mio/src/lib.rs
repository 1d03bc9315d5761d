//! conec for event loops of your own, by way of mio. Nothing is here yet: until it is, drive `conec-core` yourself, as its
//! documentation shows.

#![forbid(unsafe_code)]
