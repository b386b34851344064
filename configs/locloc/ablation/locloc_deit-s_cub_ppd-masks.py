# LocLoc on CUB-200-2011 with the masks of PPD: attention of the last block's heads 0 to 2, thresholded at 0.05. The
# official ILSVRC loader of the generator reads such masks, too.
_base_ = ['../locloc_deit-s_cub.py']
stages = [
    dict(
        name='masks',
        model={{_base_.masks_stage.model}},
        train_dataloader={{_base_.masks_stage.train_dataloader}},
        train_cfg=dict(
            _delete_=True, type='mmwsol.OfflineLoop', writer=dict(type='mmwsol.PseudoMaskWriter', preset='ppd'))),
    {{_base_.generator_stage}},
    {{_base_.classifier_stage}},
]
