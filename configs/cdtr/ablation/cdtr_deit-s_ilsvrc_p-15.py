# CDTR on ILSVRC2012, fraction p of the cells that OCM suppresses (Table VII): 0.15 in place of 0.10.
_base_ = ['../cdtr_deit-s_ilsvrc.py']
model = dict(head=dict(loss_ocm_s=dict(ratio=0.15)))
