-- Privileged acts that safety's audit log has not answered for yet: written with what they did, told until they are heard.
create table acts (
    number    integer primary key autoincrement,
    at        integer not null,
    actor     text not null check (actor <> ''),
    actor_id  text not null,
    source    text not null,
    act       text not null check (act <> ''),
    target    text not null,
    before    text not null,
    after     text not null,
    reason    text not null
) strict;
