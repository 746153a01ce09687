// The table of trials: sorting, filtering, pages. Without this script its first rows are all there, in the order of rank.
(() => {
  "use strict";
  const PER_PAGE = 50;
  const PRINTED = 500; // rows that stay in the page, so that they are printed
  const table = document.getElementById("trials-table");
  const controls = document.getElementById("trials-controls");
  if (!table || !controls) return;
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const names = heads.map((head) => head.textContent.trim().toLowerCase());
  const numeric = heads.map((head) => head.classList.contains("n"));
  const [query, fate] = [document.getElementById("trials-query"), document.getElementById("trials-fate")];
  const [back, on] = [document.getElementById("trials-back"), document.getElementById("trials-on")];
  const told = document.getElementById("trials-told");

  const rows = [...body.rows].map((row) => ({ row, cells: [...row.cells].map((cell) => cell.textContent.trim()) }));
  const others = document.getElementById("trials-others");
  for (const cells of others ? JSON.parse(others.textContent) : []) rows.push({ row: null, cells });

  let [sorted, page, found, wrong] = [{ column: -1, sign: 1 }, 0, rows, []];

  const number = (text) => parseFloat(text.replace(/[,%]/g, ""));

  function element(each) {
    if (each.row) return each.row;
    each.row = document.createElement("tr");
    each.cells.forEach((text, index) => {
      const cell = document.createElement("td");
      cell.textContent = text;
      if (numeric[index]) cell.className = "n";
      each.row.append(cell);
    });
    return each.row;
  }

  const TESTS = {
    "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "=": (a, b) => a === b,
  };

  const bare = (name) => name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");

  // By its name, or by that without punctuation (`top1`).
  function columnOf(name) {
    const exact = names.indexOf(name.toLowerCase());
    return exact >= 0 || !bare(name) ? exact : names.findIndex((each) => bare(each) === bare(name));
  }

  // A word is looked for in the whole row; `loss<2` and `activation=selu` in the column of that name.
  // What cannot be a condition is a text that says why.
  function condition(word) {
    const [name, sign, value] = word.split(/(<=|>=|=|<|>)(.*)/);
    if (!sign) return ({ cells }) => cells.some((text) => text.toLowerCase().includes(word.toLowerCase()));
    const column = columnOf(name);
    if (column < 0) return `no column ${name || "before " + sign}; columns: ${names.join(", ")}`;
    if (!numeric[column]) {
      if (sign !== "=" || !value) return `${names[column]} holds words: write ${names[column]}=word`;
      return ({ cells }) => cells[column].toLowerCase() === value.toLowerCase();
    }
    const limit = value.replace(/[,%]/g, "");
    if (!limit || Number.isNaN(Number(limit))) return `${names[column]}${sign} needs a number${value && ", not " + value}`;
    return ({ cells }) => TESTS[sign](number(cells[column]), Number(limit));
  }

  function compare(a, b) {
    const [one, other] = [a.cells[sorted.column], b.cells[sorted.column]];
    if (one === "" || other === "") return (one === "") - (other === ""); // what is empty comes last, either way
    if (numeric[sorted.column]) return sorted.sign * (number(one) - number(other));
    return sorted.sign * (one < other ? -1 : one > other ? 1 : 0);
  }

  function search() {
    const words = query.value.trim().replace(/\s*(<=|>=|=|<|>)\s*/g, "$1").split(/\s+/).filter(Boolean);
    const read = words.map(condition);
    const conditions = read.filter((each) => typeof each !== "string");
    wrong = read.filter((each) => typeof each === "string");
    if (fate.value) conditions.push(({ cells }) => cells[1] === fate.value);
    found = rows.filter((each) => conditions.every((holds) => holds(each)));
    if (sorted.column >= 0) found.sort(compare);
    page = 0;
    show();
  }

  function show() {
    const [first, end] = [page * PER_PAGE, Math.min(found.length, (page + 1) * PER_PAGE)];
    const shown = found.map((each, index) => [each, index >= first && index < end]);
    const kept = shown.filter(([, now], index) => now || index < PRINTED);
    body.replaceChildren(...kept.map(([each, now]) => {
      const row = element(each);
      row.classList.toggle("later", !now);
      return row;
    }));
    const of = found.length < rows.length ? `${found.length} found of ${rows.length}` : `${rows.length}`;
    const count = found.length ? `${first + 1} to ${end} of ${of}` : `none of ${rows.length}`;
    told.textContent = [...wrong, count].join(". ");
    back.disabled = page === 0;
    on.disabled = end === found.length;
  }

  function turn(pages) {
    page += pages;
    show();
    table.parentElement.scrollTop = 0;
  }

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      sorted = { column, sign: sorted.column === column ? -sorted.sign : 1 };
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sorted.sign > 0 ? "ascending" : "descending");
      search();
    });
  });
  query.addEventListener("input", search);
  fate.addEventListener("change", search);
  back.addEventListener("click", () => turn(-1));
  on.addEventListener("click", () => turn(1));
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.hidden = false;
  search();
})();
