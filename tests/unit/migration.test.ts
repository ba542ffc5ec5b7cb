import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { slotName, slotPrefix } from '../../contract/slot-name.ts';

describe('slot name', () => {
  it('is always a legal name of at most 63 bytes that begins with the prefix of its workflow id', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), fc.uuid(), (workflowId, run) => {
        const name = slotName(workflowId, run);
        expect(name).toMatch(/^walferry_[a-z0-9_]+$/);
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(63);
        expect(name.startsWith(slotPrefix(workflowId))).toBe(true);
      }),
    );
  });

  it('differs between runs of one workflow id, and between ids that read the same', () => {
    expect(slotName('orders', 'run-1')).not.toBe(slotName('orders', 'run-2'));
    expect(slotName('Orders', 'run-1')).not.toBe(slotName('orders', 'run-1'));
    const long = 'x'.repeat(80);
    expect(slotName(`${long}a`, 'r')).not.toBe(slotName(`${long}b`, 'r'));
  });

  it('is the same in every process: a restart finds its slot again', () => {
    expect(slotName('orders', 'run-1')).toMatchInlineSnapshot(`"walferry_orders_9e87203bac453b0f"`);
  });
});
