// Gives the operator something to take away: text in the clipboard, or a file.

/** The clipboard belongs to secure pages; over plain HTTP from another machine the old way still works. */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const back = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "unseen";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  back?.focus();
  if (!done) throw new Error("the browser does not allow it");
}

/** Saves it as the browser saves what is downloaded. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
