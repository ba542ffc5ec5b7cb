/** Effects of the login on our sessions: the role that they assume, and settings that only a superuser can reset. */
import { list } from '../wording.ts';
import {
  defineCheck,
  raising,
  ofEachSide,
  onEachSide,
  refuses,
  type Side,
  type Found,
} from '../check.ts';
import type { SessionFacts } from '../facts/own-session.ts';

const { codes, error } = raising(
  ofEachSide({
    'session-role': refuses(
      'The login switches to a role that can neither see nor terminate the sessions of the login.',
    ),
    'damage-hidden': refuses('Settings of the role let it read damaged pages without an error.'),
  }),
);

export const login = defineCheck({
  codes,
  find: ({ endpoints }) =>
    onEachSide(endpoints, (side, { session }) => [role(side, session), damage(side, session)]),
});

function role(side: Side, { login, role: assumed, overOwn }: SessionFacts): Found {
  if (overOwn) return [];
  return error(
    `${side}-session-role`,
    `on the ${side}, login "${login}" switches to role "${assumed}" (alter role … set role), which can neither see nor terminate the login's other sessions: a retry could not take over from an earlier attempt`,
    `On the ${side}: grant pg_read_all_stats, pg_signal_backend to "${assumed}"; or let the login keep its own role: alter role "${login}" reset role;`,
  );
}

function damage(side: Side, { login, hidingDamage }: SessionFacts): Found {
  if (hidingDamage.length === 0) return [];
  return error(
    `${side}-damage-hidden`,
    `sessions of "${login}" on the ${side} read damaged pages without an error (${list(hidingDamage)}), so rows could be silently missing or wrong`,
    `As a superuser, reset the setting: alter role "${login}" reset …; alter database … reset …; or remove it from postgresql.conf.`,
  );
}
