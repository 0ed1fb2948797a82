-- Parameters and columns are a contract: a deployment may replace this file, not them.
-- Rows come in one stable order; dates are cast, so that what is no date fails loudly instead of being exported.

-- name: employment_history
select id::text                              as row_id,
       agency_id::text                       as agency_id,
       employee_id::text                     as employee_id,
       last_name                             as last_name,
       first_name                            as first_name,
       middle_initial                        as middle_initial,
       gender                                as gender,
       race                                  as race,
       birth_year                            as birth_year,
       nullif(appointed_date, '')::date::text as appointed_date,
       rank                                  as rank,
       unit                                  as unit,
       nullif(start_date, '')::date::text    as start_date,
       nullif(end_date, '')::date::text      as end_date
  from employment_history
 where agency_id = $1::text
 order by id;
