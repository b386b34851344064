# SAT, DeiT-S on ILSVRC with 1 training image a class, Table 8 (c); the paper averages ten draws (`seed`). Epochs and
# batch are not published: the images are repeated to give about the iterations of the whole set.
_base_ = ['../sat_deit-s_ilsvrc_freeze-c.py']
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='RepeatDataset',
        times=1281,
        dataset=dict(type='mmwsol.KShot', k=1, seed=0, dataset={{_base_.train_dataloader.dataset}})))
