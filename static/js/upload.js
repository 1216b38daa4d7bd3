/* Sends each chosen picture of a <form data-upload> on its own, two at a time, and tells how it goes.
   Without this file the same form posts all files at once and gets a page back.

   Parts are found by attributes: inputs of type file, [data-upload-drop], [data-upload-list],
   <template data-upload-row> with [data-upload-preview|name|progress|message|link|remove],
   [data-upload-status] (read aloud), [data-upload-send], [data-upload-leave]. What a hidden part
   marked [data-upload-if-shown] holds is not sent. Sentences come from data-word-… attributes of the
   form, limits from its data-max-bytes and data-max-files.

   Answer of the form's address, asked with "Accept: application/json":
   {"files": [{"name", "status": "queued" | "known" | "refused" | "failed", "analysis_url", "message"}]}
   or {"errors": {field: [sentence, …]}}. */
const AT_ONCE = 2;
const SENDABLE = new Set(["chosen", "failed"]);
const ACCEPTED = new Set(["queued", "known"]);

const fill = (sentence, values) =>
  sentence.replace(/%\((\w+)\)s/g, (whole, key) => String(values[key] ?? whole));

const readableSize = (bytes) =>
  new Intl.NumberFormat(document.documentElement.lang || undefined, {
    style: "unit",
    unit: bytes < 1e6 ? "kilobyte" : "megabyte",
    maximumFractionDigits: bytes < 1e6 ? 0 : 1,
  }).format(bytes < 1e6 ? bytes / 1e3 : bytes / 1e6);

class Upload {
  constructor(form) {
    this.form = form;
    this.inputs = [...form.querySelectorAll('input[type="file"]')];
    this.drop = form.querySelector("[data-upload-drop]");
    this.list = form.querySelector("[data-upload-list]");
    this.template = form.querySelector("template[data-upload-row]");
    this.status = form.querySelector("[data-upload-status]");
    this.button = form.querySelector("[data-upload-send]");
    this.field = this.inputs[0].name;
    this.words = form.dataset;
    this.rows = [];
    this.active = 0;
    this.listen();
  }

  word(key, values = {}) {
    return fill(this.words[`word${key}`] ?? "", values);
  }

  say(sentence) {
    if (this.status) this.status.textContent = sentence;
  }

  listen() {
    for (const input of this.inputs) {
      input.required = false; // The chosen files live in this.rows, not in the input.
      input.addEventListener("change", () => {
        this.add([...input.files]);
        input.value = "";
      });
    }
    for (const hint of this.form.querySelectorAll("[data-upload-lead]")) hint.hidden = false;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.listenToDrop();
    addEventListener("beforeunload", (event) => {
      if (this.active || this.waiting().length) event.preventDefault();
    });
    // Coming back by the browser's "back" shows the form empty, not half done.
    addEventListener("pageshow", (event) => {
      if (!event.persisted) return;
      this.rows = [];
      location.reload();
    });
  }

  listenToDrop() {
    if (!this.drop) return;
    const over = (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      this.drop.toggleAttribute("data-over", this.drop.contains(event.target));
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) this.drop.removeAttribute("data-over");
    });
    // A file that misses the zone must not replace the page.
    addEventListener("drop", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      this.drop.removeAttribute("data-over");
      if (this.drop.contains(event.target)) this.add([...event.dataTransfer.files]);
    });
  }

  // --- Choosing ---------------------------------------------------------------------------------

  add(files) {
    this.showErrors({});
    const most = Number(this.words.maxFiles) || Infinity;
    const largest = Number(this.words.maxBytes) || Infinity;
    let waiting = this.waiting().length;
    let tooMany = false;
    for (const file of files) {
      if (waiting >= most) {
        tooMany = true;
        break;
      }
      const row = this.makeRow(file);
      if (file.size > largest) {
        this.show(row, "refused", this.word("TooLarge"));
      } else {
        this.show(row, "chosen", readableSize(file.size));
        waiting += 1;
      }
    }
    if (tooMany) this.showErrors({ [this.field]: [this.word("TooMany")] });
    this.count();
  }

  makeRow(file) {
    const element = this.template.content.firstElementChild.cloneNode(true);
    const part = (name) => element.querySelector(`[data-upload-${name}]`);
    const row = { file, element, part, state: "", url: "", request: null };
    part("name").textContent = file.name;
    part("name").title = file.name;
    part("progress")?.setAttribute("aria-label", file.name);
    part("remove")?.setAttribute("aria-label", `${part("remove").textContent.trim()}: ${file.name}`);
    part("remove")?.addEventListener("click", () => this.remove(row));
    this.preview(row);
    this.rows.push(row);
    this.list.append(element);
    this.list.hidden = false;
    return row;
  }

  preview(row) {
    const picture = row.part("preview");
    if (!picture) return;
    const address = URL.createObjectURL(row.file);
    picture.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
    // HEIC and TIFF are taken, but most browsers cannot draw them.
    picture.addEventListener(
      "error",
      () => {
        URL.revokeObjectURL(address);
        picture.hidden = true;
        const without = row.part("no-preview");
        if (without) without.hidden = false;
        row.element.title = this.word("NoPreview");
      },
      { once: true },
    );
    picture.src = address;
  }

  remove(row) {
    row.request?.abort();
    const next = row.element.nextElementSibling ?? row.element.previousElementSibling;
    row.element.remove();
    this.rows = this.rows.filter((other) => other !== row);
    this.list.hidden = this.rows.length === 0;
    (next?.querySelector("[data-upload-remove]") ?? this.inputs[0]).focus();
    this.count();
  }

  waiting() {
    return this.rows.filter((row) => SENDABLE.has(row.state));
  }

  chosen() {
    const count = this.waiting().length;
    return this.word(count === 1 ? "File" : "Files", { count });
  }

  count() {
    if (this.waiting().length) this.say(this.chosen());
  }

  show(row, state, message) {
    row.state = state;
    row.element.dataset.state = state;
    row.part("message").textContent = message;
    const busy = state === "sending" || state === "checking";
    const progress = row.part("progress");
    if (progress) {
      progress.hidden = !busy;
      if (state === "checking") progress.removeAttribute("value"); // Length unknown from here on.
    }
    const link = row.part("link");
    if (link && row.url) {
      link.href = row.url;
      link.hidden = false;
    }
    const remove = row.part("remove");
    if (remove) remove.hidden = ACCEPTED.has(state) || state === "checking";
  }

  // --- Sending ----------------------------------------------------------------------------------

  async send() {
    if (this.active) return;
    this.showErrors({});
    const batch = this.waiting();
    if (!batch.length) {
      this.showErrors({ [this.field]: [this.word("None")] });
      return;
    }
    if (!this.form.reportValidity()) return;
    this.lock(true);
    this.stopped = false;
    // What the form says now is meant for all of them, whatever is changed while they go out.
    const fields = this.fields();
    const queue = [...batch];
    const lane = async () => {
      while (queue.length && !this.stopped) await this.sendOne(queue.shift(), fields);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    this.lock(false);
    this.finish(batch);
  }

  lock(busy) {
    this.active = busy ? 1 : 0;
    this.form.setAttribute("aria-busy", String(busy));
    if (this.button) this.button.disabled = busy;
  }

  fields() {
    const fields = new FormData(this.form);
    fields.delete(this.field);
    for (const part of this.form.querySelectorAll("[data-upload-if-shown]")) {
      if (getComputedStyle(part).display !== "none") continue;
      for (const control of part.querySelectorAll("[name]")) fields.delete(control.name);
    }
    return [...fields];
  }

  sendOne(row, fields) {
    return new Promise((resolve) => {
      if (!this.rows.includes(row)) {
        resolve();
        return;
      }
      const body = new FormData();
      for (const [name, value] of fields) body.append(name, value);
      body.append(this.field, row.file, row.file.name);
      const request = new XMLHttpRequest();
      row.request = request;
      const progress = row.part("progress");
      if (progress) progress.value = 0;
      this.show(row, "sending", this.word("Sending"));
      request.upload.addEventListener("progress", (event) => {
        if (event.lengthComputable && progress) progress.value = (100 * event.loaded) / event.total;
      });
      request.upload.addEventListener("load", () =>
        this.show(row, "checking", this.word("Checking")),
      );
      request.addEventListener("load", () => this.read(row, request));
      request.addEventListener("error", () => this.show(row, "failed", this.word("Failed")));
      request.addEventListener("timeout", () => this.show(row, "failed", this.word("Failed")));
      request.addEventListener("abort", () => this.show(row, "chosen", readableSize(row.file.size)));
      request.addEventListener("loadend", () => {
        row.request = null;
        resolve();
      });
      request.open("POST", this.form.getAttribute("action") || location.href);
      request.setRequestHeader("Accept", "application/json");
      request.setRequestHeader("X-Requested-With", "XMLHttpRequest");
      request.send(body);
    });
  }

  read(row, request) {
    let answer = null;
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      // A page instead of an answer: the sign-in page after a redirect, or an error page.
      const signedOut = request.status === 200 || request.status === 403;
      this.show(row, "failed", this.word(signedOut ? "SignedOut" : "Failed"));
      return;
    }
    if (!answer.files && !answer.errors) {
      // The sign-in page answers programs in JSON too.
      this.show(row, "failed", this.word("SignedOut"));
      return;
    }
    const told = answer.files?.[0];
    if (told) {
      row.url = told.analysis_url ?? "";
      this.show(row, told.status, told.message ?? "");
      return;
    }
    const errors = { ...answer.errors };
    const own = errors[this.field];
    delete errors[this.field];
    if (Object.keys(errors).length === 0) {
      // Too many (429) or not available (503): the same picture may be sent again as it is.
      const state = [429, 503].includes(request.status) ? "failed" : "refused";
      this.show(row, state, (own ?? [this.word("Failed")]).join(" "));
      return;
    }
    // The fault lies in the form, not in the picture: keep all pictures and let the person mend it.
    this.stopped = true;
    this.show(row, "chosen", readableSize(row.file.size));
    for (const other of this.rows) other.request?.abort();
    this.showErrors(errors);
  }

  finish(sent) {
    // What was taken out of the list meanwhile is no failure.
    const batch = sent.filter((row) => this.rows.includes(row));
    if (batch.length === 0) return;
    const accepted = batch.filter((row) => ACCEPTED.has(row.state));
    if (batch.length === 1 && accepted.length === 1 && this.rows.length === 1) {
      const [only] = accepted;
      // Landing on an older page unasked would hide that nothing was added: the row tells and links.
      if (only.state === "queued") {
        location.assign(only.url);
        return;
      }
      this.say(only.part("message").textContent);
      only.part("link")?.focus();
      return;
    }
    if (this.stopped) return;
    // Others may have been refused before, or chosen meanwhile.
    const rest = this.rows.filter((row) => !ACCEPTED.has(row.state));
    if (rest.length === 0) {
      this.say(this.word("Done"));
      this.form.querySelector("[data-upload-leave]")?.classList.add("button-primary");
    } else {
      const values = { done: this.rows.length - rest.length, count: this.rows.length };
      const wrong = rest.find((row) => row.state !== "chosen");
      const why = wrong ? `${wrong.file.name}: ${wrong.part("message").textContent}` : this.chosen();
      this.say(`${this.word("Some", values)} ${why}`.trim());
    }
  }

  // --- Errors of the form -----------------------------------------------------------------------

  showErrors(errors) {
    for (const shown of this.form.querySelectorAll("[data-upload-error]")) {
      const control = this.form.querySelector(`[aria-describedby~="${shown.id}"]`);
      if (control) {
        const others = control.getAttribute("aria-describedby").split(" ");
        control.setAttribute("aria-describedby", others.filter((id) => id !== shown.id).join(" "));
        control.removeAttribute("aria-invalid");
      }
      shown.remove();
    }
    let first = null;
    const sentences = [];
    for (const [name, messages] of Object.entries(errors)) {
      const control = this.form.querySelector(`[name="${CSS.escape(name)}"]:not([type="hidden"])`);
      const list = document.createElement("ul");
      list.className = "errors";
      list.dataset.uploadError = "";
      list.id = `upload-error-${name}`;
      for (const message of messages) {
        const item = document.createElement("li");
        item.textContent = message;
        list.append(item);
        sentences.push(message);
      }
      const place = control?.closest("fieldset, .field");
      if (place) place.append(list);
      else this.form.prepend(list);
      const folded = control?.closest("details");
      if (folded) folded.open = true;
      if (control) {
        const described = `${control.getAttribute("aria-describedby") ?? ""} ${list.id}`.trim();
        control.setAttribute("aria-describedby", described);
        if (control.type !== "file") control.setAttribute("aria-invalid", "true");
        first ??= control;
      }
    }
    if (sentences.length) this.say(sentences.join(" "));
    first?.focus();
  }
}

for (const form of document.querySelectorAll("form[data-upload]")) new Upload(form);
