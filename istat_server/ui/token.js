/**
 * The token that the server wants, if it wants one: kept for this tab, asked for once, sent with every request. How it
 * is asked for is the dialog's matter (panels/token.js). No cookies: another site's page could have them sent.
 */

/** Where it is kept, until the tab is closed. */
const KEY = "istatd-token";

/** @typedef {Pick<Storage, "getItem" | "setItem">} Kept */

export class Token {
  value = "";
  /** The reader closed the dialog: nobody asks again before a wish of the reader's. */
  declined = false;
  /** @type {Promise<boolean> | null} */
  #asking = null;

  /** @param {(why: string) => Promise<string>} ask  a token from the reader, empty for none
   * @param {() => Kept} kept  throws where the browser keeps nothing for us */
  constructor(ask, kept = () => sessionStorage) {
    this.ask = ask;
    this.kept = kept;
    this.#store((storage) => { this.value = storage.getItem(KEY) ?? ""; });
  }

  /** What requests say. @returns {Record<string, string>} */
  headers() {
    return this.value ? { authorization: `Bearer ${this.value}` } : {};
  }

  /** A request was refused for want of a right: whether there is another token by now. However many requests are
   * refused, the reader is asked once. @param {string} sent  the token that did not do @param {string} why */
  async another(sent, why) {
    if (this.value !== sent) return true;
    if (this.declined) return false;
    this.#asking ??= this.#ask(why).finally(() => { this.#asking = null; });
    return this.#asking;
  }

  /** @param {string} why */
  async #ask(why) {
    const given = (await this.ask(why)).trim();
    this.declined = !given;
    if (given) this.value = given;
    else return false;
    this.#store((storage) => storage.setItem(KEY, given));
    return true;
  }

  /** @param {(storage: Kept) => void} use */
  #store(use) {
    try {
      use(this.kept());
    } catch {
      // A browser that keeps nothing: the token lasts until the page is loaded anew.
    }
  }
}
