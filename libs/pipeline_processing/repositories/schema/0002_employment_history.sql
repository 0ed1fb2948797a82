-- One row a unit assignment. Dates are text: ISO, empty, or whatever an agency wrote; an interval may end before it starts.

create table employment_history (
    id             bigint primary key,
    agency_id      text not null references agencies (id),
    employee_id    bigint, -- not a foreign key: see attachments
    last_name      text,
    first_name     text,
    middle_initial text,
    gender         text,
    race           text,
    birth_year     text,
    appointed_date text,
    rank           text,
    unit           text,
    start_date     text,
    end_date       text
);
create index employment_history_of_agency on employment_history (agency_id, id);
