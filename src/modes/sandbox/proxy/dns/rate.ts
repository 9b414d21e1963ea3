/** Questions that may be answered at a time, and how many more each second brings. Time is an argument, in milliseconds. */
export class QuestionRate {
  readonly #perSecond: number;
  #left: number;
  #at = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
  }

  /** Uses one up; false: there is none. */
  take(now: number): boolean {
    const earned = ((now - this.#at) / 1000) * this.#perSecond;
    if (earned >= 1) {
      this.#left = Math.min(this.#perSecond, this.#left + earned);
      this.#at = now;
    }
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
